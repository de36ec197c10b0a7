"""A whole inspection: from a manifest or folder to a table, a clean manifest and a page."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from hiera_video.config.groups import InspectData
from hiera_video.data.file_search import describe_passed_over
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.pictures import holds_pictures, state_of
from hiera_video.files import make_output_directory
from hiera_video.inspection.examine import Examined
from hiera_video.inspection.examine_all import examine_all
from hiera_video.inspection.report import REPORT_FILE, write_report
from hiera_video.inspection.results import inspection_table, write_table
from hiera_video.inspection.rows import read_rows
from hiera_video.jsonlines import append_line, read_lines
from hiera_video.labels import similar_labels
from hiera_video.runtime import progress_bar

#: One line of JSON per examined file, so that an interrupted inspection can continue.
EXAMINED_FILE = "examined.jsonl"


def inspect_videos(
    path: Path,
    output_dir: Path,
    data: InspectData,
    *,
    decode: bool = False,
    keep_duplicates: bool = False,
) -> None:
    """Examine the files of a manifest or folder that were not examined before; write the results.

    A file that takes longer than ``data.timeout_seconds`` counts as unreadable; the next run
    examines it again. ``decode`` decodes every frame.

    Raises:
        UserError: if there is nothing to inspect, or ``output_dir`` cannot be written to.
    """
    source = read_rows(path, data.root, data.exact_frame_rate)
    counts = Counter(row.label for row in source.rows if row.label is not None)
    print("".join(f"warning: {warning}\n" for warning in similar_labels(counts)), end="")
    log = make_output_directory(output_dir) / EXAMINED_FILE
    files = list(dict.fromkeys(str(row.file) for row in source.rows))
    known = read_examined(log)
    rate = data.frame_rate
    examined = {file: known[file] for file in files if _is_current(known.get(file), decode, rate)}
    waiting = [Path(file) for file in files if file not in examined]
    options = DecodingOptions(
        timeout_seconds=data.timeout_seconds,
        index_dir=data.index_dir,
        frame_rate=data.exact_frame_rate,
    )
    bar = progress_bar(desc="inspect", unit="video", initial=len(examined), total=len(files))
    with bar:
        for facts in examine_all(waiting, data.num_workers, decode, options):
            examined[facts.file] = facts
            append_line(log, asdict(facts))
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


def read_examined(log: Path) -> dict[str, Examined]:
    """The facts that earlier runs recorded, by file; incomplete records are skipped."""
    known: dict[str, Examined] = {}
    for record in read_lines(log):
        try:
            facts = Examined(**record)
        except TypeError:  # written by a version with other fields
            continue
        known[facts.file] = facts
    return known


def _is_current(facts: Examined | None, decode: bool, frame_rate: float | None) -> bool:
    """Whether the file has not changed since it was examined, at least as thoroughly as now; and,
    of pictures, with the same frame rate."""
    if facts is None or (decode and not facts.decoded):
        return False
    if facts.sha256 is None:  # reading its bytes failed, perhaps for a temporary reason
        return False
    try:
        state = state_of(Path(facts.file))
        if holds_pictures(Path(facts.file)) and facts.frames_per_second != frame_rate:
            return False
    except OSError:
        return False
    return state == (facts.size_bytes, facts.modified_ns)
