"""A whole inspection: a manifest or a folder in, a table, a clean manifest and a page out."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from pathlib import Path

from hiera_video.decoding.options import DecodingOptions
from hiera_video.files import make_output_directory
from hiera_video.inspection.examine import Examined, examine
from hiera_video.inspection.report import REPORT_FILE, write_report
from hiera_video.inspection.results import inspection_table, write_table
from hiera_video.inspection.source import read_source
from hiera_video.labels import similar_labels
from hiera_video.preparation.lists import describe_passed_over
from hiera_video.runtime import progress_bar

#: One line of JSON per file that was examined: what an interrupted inspection goes on from.
LOG_FILE = "examined.jsonl"
TIMEOUT_SECONDS = 600.0
_MOST_FILES_PER_TASK = 16


def inspect_videos(
    path: Path,
    output_dir: Path,
    *,
    root: Path | None = None,
    num_workers: int = 1,
    decode: bool = False,
    keep_duplicates: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    index_dir: Path | None = None,
) -> None:
    """Examine every file of a manifest or folder that was not examined yet, and write the files.

    A file that takes ``timeout_seconds`` cannot be read; it is examined again by the next run.
    ``index_dir`` keeps the frames of files that had to be counted by decoding, for training.

    Raises:
        UserError: if there is nothing to inspect, or ``output_dir`` cannot be written to.
    """
    source = read_source(path, root)
    counts = Counter(video.label for video in source.videos if video.label is not None)
    print("".join(f"warning: {warning}\n" for warning in similar_labels(counts)), end="")
    log = make_output_directory(output_dir) / LOG_FILE
    files = list(dict.fromkeys(str(video.file) for video in source.videos))
    known = read_log(log)
    examined = {file: known[file] for file in files if _is_current(known.get(file), decode)}
    waiting = [Path(file) for file in files if file not in examined]
    options = DecodingOptions(timeout_seconds=timeout_seconds, index_dir=index_dir)
    _examine_all(waiting, log, examined, num_workers, decode, options)
    table = inspection_table(source, examined, keep_duplicates=keep_duplicates)
    write_table(table, source, output_dir)
    passed_over = describe_passed_over(source.passed_over)
    write_report(table, path, passed_over, output_dir / REPORT_FILE)
    num_left_out = table.num_rows - table["left_out"].null_count
    print(
        f"{table.num_rows} videos: {table['left_out'].null_count} kept, {num_left_out} left out, "
        f"{len(waiting)} files examined now  -> {output_dir}"
    )
    if passed_over:
        print(f"passed over: {passed_over}")


def read_log(log: Path) -> dict[str, Examined]:
    """What was found out earlier, by file; a last line that was not finished is passed over."""
    known: dict[str, Examined] = {}
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            try:
                found = Examined(**json.loads(line))
            except (ValueError, TypeError):
                continue
            known[found.file] = found
    return known


def _is_current(found: Examined | None, decode: bool) -> bool:
    """Whether the file is as it was when it was examined, as thoroughly as is wanted now."""
    if found is None or (decode and not found.decoded):
        return False
    if found.sha256 is None:  # its bytes could not be read, which may have been a disk or a right
        return False
    try:
        status = Path(found.file).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (found.size_bytes, found.modified_ns)


def _examine_all(
    waiting: Sequence[Path],
    log: Path,
    examined: dict[str, Examined],
    num_workers: int,
    decode: bool,
    options: DecodingOptions,
) -> None:
    """Examine the files that wait, in parallel; each goes to the log as it comes."""
    bar = progress_bar(
        desc="inspect", unit="video", initial=len(examined), total=len(examined) + len(waiting)
    )
    work = partial(_examine_in_time, decode, options)
    with bar, log.open("a", encoding="utf-8") as lines:
        lines.write("\n")  # ends a line that an interruption left unfinished
        while waiting:
            for found in _in_parallel(work, waiting, num_workers, options.timeout_seconds):
                examined[found.file] = found
                lines.write(json.dumps(asdict(found)) + "\n")
                lines.flush()
                bar.update()
            waiting = [file for file in waiting if str(file) not in examined]


def _examine_in_time(
    decode: bool, options: DecodingOptions, files: Sequence[Path]
) -> list[Examined]:
    """Examine files in a process that ends if one takes too long, whatever its decoder is at."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    found = []
    for file in files:
        signal.setitimer(signal.ITIMER_REAL, options.timeout_seconds)
        found.append(examine(file, decode, options))
        signal.setitimer(signal.ITIMER_REAL, 0)
    return found


def _in_parallel(
    work: Callable[[Sequence[Path]], list[Examined]],
    files: Sequence[Path],
    num_workers: int,
    timeout_seconds: float,
) -> Iterator[Examined]:
    """Results as they come; fewer than there are files if one of them ends a process.

    Then the first that are left, as many as were being examined, are examined one by one, each in a
    process of its own, so that it is the turn of that file.
    """
    files_per_task = max(1, min(_MOST_FILES_PER_TASK, len(files) // (8 * num_workers)))
    tasks = [files[i : i + files_per_task] for i in range(0, len(files), files_per_task)]
    done = set()
    pool = ProcessPoolExecutor(num_workers)
    try:
        for task in as_completed([pool.submit(work, task) for task in tasks]):
            for found in task.result():
                done.add(found.file)
                yield found
    except BrokenProcessPool:
        left = [file for file in files if str(file) not in done]
        for file in left[: num_workers * files_per_task]:
            yield _alone(work, file, timeout_seconds)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _alone(
    work: Callable[[Sequence[Path]], list[Examined]], file: Path, timeout_seconds: float
) -> Examined:
    begin = time.monotonic()
    with ProcessPoolExecutor(1) as pool:
        try:
            return pool.submit(work, [file]).result()[0]
        except BrokenProcessPool:
            in_time = time.monotonic() - begin < timeout_seconds
            ended = "reading it ends the process"
            too_long = f"reading took longer than --timeout-seconds={timeout_seconds:g}"
            return Examined(str(file), decoded=False, reason=ended if in_time else too_long)
