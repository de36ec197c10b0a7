"""Nothing is ever seen half-written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hiera_video.errors import ManifestError, UserError
from hiera_video.files import atomic_path, atomic_symlink, make_output_directory, reading


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    message = f"{missing}: cannot be read (no such file or directory)"
    with pytest.raises(ManifestError, match=re.escape(message)), reading(missing, ManifestError):
        missing.read_text()
    with pytest.raises(UserError, match=r"x: cannot be read \('utf-8' codec"), reading("x"):
        b"\xff".decode()


def test_only_faults_of_the_file_are_reported_as_unreadable() -> None:
    message = r"x: cannot be read \(bad number\)"
    with pytest.raises(UserError, match=message), reading("x", UserError, ValueError):
        raise ValueError("bad number")
    with pytest.raises(ValueError, match=r"^bad number"), reading("x"):
        raise ValueError("bad number")


def test_what_is_not_durable_is_whole_or_not_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    target = tmp_path / "file"

    def write(text: str) -> None:
        with atomic_path(target, durable=False) as path:
            path.write_text(text[:2])
            if target.exists():
                raise ValueError("in the middle")
            path.write_text(text)

    write("one")
    with pytest.raises(ValueError, match="in the middle"):
        write("two")
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]
    assert waits == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_all_of_it_is_on_the_disk_before_its_name_and_then_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    before: list[Path] = []
    after: list[Path] = []

    def record(descriptor: int) -> None:
        flushed = Path(f"/proc/self/fd/{descriptor}").readlink()
        (after if target.exists() else before).append(flushed)

    monkeypatch.setattr(os, "fsync", record)
    with atomic_path(target) as path:
        written = [path]
        if kind == "folder":
            written += [path / "inner", path / "a", path / "inner" / "b"]
            (path / "inner").mkdir(parents=True)
        for part in written:
            if not part.is_dir():
                part.write_text("new")
    assert sorted(before) == sorted(written)
    assert after == [tmp_path]


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    with atomic_path(target) as path:
        path.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path: Path) -> None:
    with atomic_path(tmp_path / ("x" * 255)) as path:
        path.write_text("new")
    assert (tmp_path / ("x" * 255)).read_text() == "new"


def write_half(target: Path) -> None:
    with atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        write_half(target)
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "folder") as path:
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "a").write_text("a")
        assert not (tmp_path / "folder").exists()
    assert (tmp_path / "folder" / "inner" / "a").read_text() == "a"


def test_a_link_is_replaced_and_stays_relative(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        atomic_symlink(tmp_path / "last", tmp_path / name)
    assert (tmp_path / "last").resolve() == tmp_path / "two"
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert (moved / "last").resolve() == moved / "two"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_dir=.*file/out: cannot be written \(not a dir"):
        make_output_directory(tmp_path / "file" / "out")
