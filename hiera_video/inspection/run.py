"""A whole inspection: a manifest or a folder in, a table, a clean manifest and a page out."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from hiera_video.config.groups import InspectData
from hiera_video.data.file_search import describe_passed_over
from hiera_video.decoding.options import DecodingOptions
from hiera_video.files import make_output_directory
from hiera_video.inspection.examine import Examined
from hiera_video.inspection.examine_all import examine_all
from hiera_video.inspection.report import REPORT_FILE, write_report
from hiera_video.inspection.results import inspection_table, write_table
from hiera_video.inspection.source import read_source
from hiera_video.jsonlines import append_line, read_lines
from hiera_video.labels import similar_labels
from hiera_video.runtime import progress_bar

#: One line of JSON per file that was examined: what an interrupted inspection goes on from.
LOG_FILE = "examined.jsonl"


def inspect_videos(
    path: Path,
    output_dir: Path,
    data: InspectData,
    *,
    decode: bool = False,
    keep_duplicates: bool = False,
) -> None:
    """Examine every file of a manifest or folder that was not examined yet, and write the files.

    A file that takes ``data.timeout_seconds`` cannot be read; the next run examines it again.
    ``decode`` has every frame decoded.

    Raises:
        UserError: if there is nothing to inspect, or ``output_dir`` cannot be written to.
    """
    source = read_source(path, data.root)
    counts = Counter(video.label for video in source.videos if video.label is not None)
    print("".join(f"warning: {warning}\n" for warning in similar_labels(counts)), end="")
    log = make_output_directory(output_dir) / LOG_FILE
    files = list(dict.fromkeys(str(video.file) for video in source.videos))
    known = read_log(log)
    examined = {file: known[file] for file in files if _is_current(known.get(file), decode)}
    waiting = [Path(file) for file in files if file not in examined]
    options = DecodingOptions(timeout_seconds=data.timeout_seconds, index_dir=data.index_dir)
    bar = progress_bar(desc="inspect", unit="video", initial=len(examined), total=len(files))
    with bar:
        for found in examine_all(waiting, data.num_workers, decode, options):
            examined[found.file] = found
            append_line(log, asdict(found))
            bar.update()
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
    """What was found out earlier, by file; what was not noted as a whole is passed over."""
    known: dict[str, Examined] = {}
    for record in read_lines(log):
        try:
            found = Examined(**record)
        except TypeError:  # of a version that knew other fields
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
