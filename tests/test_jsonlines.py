"""Files of JSON lines, and what is left of a line by one who was killed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from hiera_video.jsonlines import append_line, read_lines, write_lines


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert read_lines(path) == []
    records: list[dict[str, Any]] = [
        {"path": "café\u2028.mp4", "reason": None},
        {"step": 2, "loss": 0.5},
    ]
    for record in records:
        append_line(path, record)
    assert read_lines(path) == records
    assert path.read_bytes().count(b"\n") == 2
    write_lines(path, records[1:])
    assert read_lines(path) == records[1:]


@pytest.mark.parametrize("left", ['{"step": 1', '{"step": 1, "name": "caf\\', "1", '{"step": 1}'])
def test_half_a_line_is_passed_over_and_ended(tmp_path: Path, left: str) -> None:
    path = tmp_path / "a.jsonl"
    append_line(path, {"step": 0})
    with path.open("a") as file:
        file.write(left)
    whole = [{"step": 1}] if left.endswith("}") else []
    assert read_lines(path) == [{"step": 0}, *whole]
    append_line(path, {"step": 2})
    append_line(path, {"step": 3})
    assert read_lines(path) == [{"step": 0}, *whole, {"step": 2}, {"step": 3}]


def test_bytes_that_are_no_text_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xff\xfe\n\0\0\n{"step": 1}\n[1]\n')
    assert read_lines(path) == [{"step": 1}]


def _append_many(path: Path, process: int) -> None:
    for number in range(200):
        append_line(path, {"process": process, "number": number})


def test_several_processes_add_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_append_many, args=(path, p)) for p in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_lines(path)) == 600
    for number in range(3):
        own = [record["number"] for record in read_lines(path) if record["process"] == number]
        assert own == list(range(200))
