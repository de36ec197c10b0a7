"""Manifests and class lists, good and bad."""

from __future__ import annotations

import csv
import os
import pickle
import runpy
import time
from collections import deque
from pathlib import Path

import pyarrow as pa
import pytest

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.groups import DataSource, TrainData
from hiera_video.data.class_list import write_classes
from hiera_video.data.manifest import (
    Manifest,
    has_labels,
    open_manifest,
    written_paths,
)
from hiera_video.errors import ManifestError
from tests.support import ROOT, open_labelled


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_paths_and_sorted_classes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "path,label\na.mp4,run\n/abs/b.mp4,jump\n")
    manifest, labels = open_labelled(path)
    assert manifest.targets is labels
    assert labels.classes == ["jump", "run"]
    assert manifest.column("labels") == [1, 0]
    assert [manifest[i].targets for i in range(2)] == [{"labels": 1}, {"labels": 0}]
    assert manifest[0].file == tmp_path / "a.mp4"
    assert manifest[1].file == Path("/abs/b.mp4")
    assert (manifest[0].start_seconds, manifest[0].end_seconds) == (0.0, None)


def test_classes_file_fixes_the_order(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "run\njump\nswim\n")
    path = write(tmp_path / "m.csv", "path,label\na.mp4,run\nb.mp4,jump\n")
    manifest, labels = open_labelled(path)
    assert labels.classes == ["run", "jump", "swim"]
    assert manifest.column("labels") == [0, 1]


def test_byte_order_marks_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "\ufeffrun\njump\n")
    manifest, labels = open_labelled(write(tmp_path / "m.csv", "\ufeffpath,label\na.mp4,run\n"))
    assert (labels.classes, manifest.column("labels")) == (["run", "jump"], [0])


def test_given_classes_and_root_win(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "run\njump\n")
    path = write(tmp_path / "m.csv", "path,label\na.mp4,run\n")
    manifest, _ = open_labelled(path, ["jump", "run"], Path("/videos"))
    assert manifest[0].targets == {"labels": 1}
    assert manifest[0].file == Path("/videos/a.mp4")


def test_segments_quotes_and_labels_that_look_like_other_types(tmp_path: Path) -> None:
    text = 'path,label,start_seconds,end_seconds\n"a, b.mp4",1,0.5,2\nc.mp4,NULL,,\n'
    manifest, labels = open_labelled(write(tmp_path / "m.csv", text))
    assert labels.classes == ["1", "NULL"]
    assert manifest[0].path == "a, b.mp4"
    assert (manifest[0].start_seconds, manifest[0].end_seconds) == (0.5, 2.0)
    assert (manifest[1].start_seconds, manifest[1].end_seconds) == (0.0, None)


def test_without_targets_labels_are_not_needed(tmp_path: Path) -> None:
    manifest = Manifest(write(tmp_path / "m.csv", "path\na.mp4\n"))
    assert (manifest.targets, manifest[0].targets) == (None, {})
    with pytest.raises(KeyError):
        manifest.column("labels")


def test_columns_that_nobody_uses_are_passed_over(tmp_path: Path) -> None:
    """Whatever they hold, and how often they are there."""
    text = "note,path,note,offset_bytes,label\n1,a.mp4,2,none,\nx,b.mp4,,,\n"
    assert Manifest(write(tmp_path / "m.csv", text)).paths == ["a.mp4", "b.mp4"]


class Moments:
    """Two numbers and a list of them for each row, from two columns of text."""

    columns: tuple[str, ...] = ("count", "moments")

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        moments = [[float(word) for word in text.split()] for text in table["moments"].to_pylist()]
        if [] in moments:
            raise ManifestError(f"{path}, line {moments.index([]) + 2}: has no moments")
        counts = [int(text) for text in table["count"].to_pylist()]
        return {"path": pa.array(counts), "moments": pa.array(moments)}


def test_an_encoder_makes_targets_of_the_columns_that_it_names(tmp_path: Path) -> None:
    """Which come as text, and whose targets may have any name."""
    text = "moments,path,count\n0.5 1,a.mp4,007\n2 3,b.mp4,1\n"
    manifest = Manifest(write(tmp_path / "m.csv", text), targets=Moments())
    assert manifest.column("path") == [7, 1]
    assert manifest.column("moments") == [[0.5, 1.0], [2.0, 3.0]]
    assert manifest[0].targets == {"path": 7, "moments": [0.5, 1.0]}
    assert manifest[1].path == "b.mp4"
    assert pickle.loads(pickle.dumps(manifest))[1] == manifest[1]
    with pytest.raises(ManifestError, match=r"line 3: has no moments"):
        Manifest(write(tmp_path / "m.csv", text.replace("2 3", "")), targets=Moments())
    wanted = "wanted a header with path,count,moments, got moments,path"
    with pytest.raises(ManifestError, match=wanted):
        Manifest(write(tmp_path / "m.csv", "moments,path\n1,a.mp4\n"), targets=Moments())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a manifest (it is empty)"),
        ("path,label\n", "the manifest has a header and no rows"),
        ("a.mp4 3\nb.mp4 4\n", "got a.mp4 3 (other kinds of lists: see datasets/lists)"),
        ("path,label\na.mp4\n", "is not a manifest (CSV parse error: Expected 2 columns, got 1"),
        ("path,label,start_seconds\na,b,x\n", "is not a manifest (in CSV column #2"),
        ("path,label,label\na,b,c\n", "the column label is there twice"),
        ("path,label\na,run\nb,\n", "line 3: has no label, and others have"),
        ("path,label,start_seconds,end_seconds\na,b,2,1\n", "line 2: wanted 0 <= start_seconds"),
        ("path,label\na,run\n ,run\n", "line 3: has no path"),
        (
            "path\tlabel\na.mp4\trun\n",
            "line 1: columns are separated by tabs; wanted commas: save it with those, and "
            "path,label as its first line",
        ),
        ('"path";"label"\na;b\n', "line 1: columns are separated by semicolons; wanted commas"),
        ("path|label\na|b\n", "line 1: columns are separated by vertical bars; wanted commas"),
    ],
)
def test_a_bad_manifest_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "m.csv", text)
    with pytest.raises(ManifestError) as caught:
        open_labelled(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_an_unknown_label_names_line_and_nearest_class(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "path,label\na.mp4,run\nb.mp4,jmup\n")
    with pytest.raises(ManifestError, match=r"line 3: label 'jmup' is not .* did you mean jump\?"):
        open_labelled(path, ["run", "jump"])


def test_space_around_labels_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", 'path,label\na.mp4,run \nb.mp4," jump"\n')
    assert open_labelled(path)[1].classes == ["jump", "run"]
    write_classes(tmp_path / "classes.txt", ["run ", "jump"])
    assert open_labelled(path)[0].column("labels") == [0, 1]


def test_other_encodings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("path,label\ncafé.mp4,run\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"m\.csv, line 2: is not in UTF-8"):
        has_labels(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_named_with_the_cure(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("path,label\na.mp4,run\n".encode(encoding))
    for read in (Manifest, has_labels):
        with pytest.raises(
            ManifestError, match=r"m\.csv: is in UTF-16.*; wanted UTF-8: save it so"
        ):
            read(path)


def test_a_line_that_is_not_in_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes("path,label\na.mp4,run\ncafé.mp4,run\n".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"m\.csv, line 3: is not in UTF-8"):
        Manifest(path)


def test_other_separators_are_told_where_labels_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="separated by tabs"):
        has_labels(write(tmp_path / "m.csv", "path\tlabel\na.mp4\trun\n"))
    text = 'path,label\na.mp4,"Putting a; b, and c\ton d"\n'
    assert open_labelled(write(tmp_path / "m.csv", text))[1].classes == ["Putting a; b, and c on d"]


def test_a_folder_in_place_of_a_video_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    path = write(tmp_path / "m.csv", "path,label\na,run\n")
    data = TrainData(val=DataSource(manifest=path))
    with pytest.raises(ManifestError, match=r"m\.csv, line 2: .*/a: it has no numbered pic"):
        open_manifest(data, "data.val.manifest", ClipSettings())


def test_a_class_named_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "run\nrun\n")
    with pytest.raises(ManifestError, match="'run' is there twice"):
        open_labelled(write(tmp_path / "m.csv", "path,label\na.mp4,run\n"))


def test_a_pipe_in_place_of_a_video_is_told_with_its_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    path = write(tmp_path / "m.csv", "path\na.mp4\n")
    with pytest.raises(ManifestError, match=r"line 2: .*a\.mp4: is a pipe or a device, and wanted"):
        Manifest(path).check_files()


def test_missing_files_are_found_before_anything_starts(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", "")
    path = write(tmp_path / "m.csv", "path,label\na.mp4,run\nb.mp4,run\nc.mp4,run\n")
    data = TrainData(val=DataSource(manifest=path))
    with pytest.raises(ManifestError, match=r"line 3: no such file: .*b\.mp4 \(and 1 more\)"):
        open_manifest(data, "data.val.manifest", ClipSettings())
    skipping = TrainData(val=DataSource(manifest=path), on_error="skip")
    assert len(open_manifest(skipping, "data.val.manifest", ClipSettings())) == 3


def test_a_manifest_that_was_not_given_is_named() -> None:
    with pytest.raises(ManifestError, match=r"data\.train\.manifest: is required"):
        open_manifest(TrainData(), "data.train.manifest", ClipSettings())


def test_pickling_shares_the_rows_instead_of_copying_them(tmp_path: Path) -> None:
    rows = "".join(f"folder/{index:06d}.mp4,run,{index},\n" for index in range(20_000))
    text = "path,label,start_seconds,end_seconds\n" + rows
    manifest, _ = open_labelled(write(tmp_path / "m.csv", text))
    data = pickle.dumps(manifest)
    assert len(data) < 2000
    assert len(pickle.dumps(manifest)) == len(data)
    copy = pickle.loads(data)
    assert copy[19_999] == manifest[19_999]
    file = Path(manifest._rows._file.name)
    assert file.stat().st_size > len(rows)
    del manifest
    assert not file.exists()
    assert copy[7].path == "folder/000007.mp4"


def test_a_million_rows_open_at_once_and_cost_workers_nothing(tmp_path: Path) -> None:
    """``scripts/benchmark_manifest.py``, with what it must not exceed."""
    benchmark = runpy.run_path(str(ROOT / "scripts" / "benchmark_manifest.py"))
    benchmark["write_manifest"](tmp_path / "large.csv", 1_000_000)
    benchmark["write_manifest"](tmp_path / "small.csv", 1000)
    begin = time.process_time()
    with (tmp_path / "large.csv").open(newline="") as file:
        deque(csv.DictReader(file), maxlen=0)
    read = time.process_time()
    manifest, _ = open_labelled(tmp_path / "large.csv")
    # A fifth of it, rather, but other programs take their share of processors and caches.
    assert time.process_time() - read < 2 * (read - begin)
    assert len(manifest) == 1_000_000
    base, cost = (
        benchmark["worker_bytes"](some, 100_000, "fork")
        for some in (open_labelled(tmp_path / "small.csv")[0], manifest)
    )
    assert cost - base < 20e6


def test_paths_are_written_below_the_folder_or_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work/deep").mkdir(parents=True)
    (tmp_path / "store/inner").mkdir(parents=True)
    (tmp_path / "work/link").symlink_to(tmp_path / "store/inner", target_is_directory=True)
    monkeypatch.chdir(tmp_path / "work")
    wanted = {
        "a.mp4": "a.mp4",
        "link/a.mp4": "link/a.mp4",  # links are kept
        f"{tmp_path}/work/deep/../deep/a.mp4": "deep/a.mp4",
        "..a/b../..c.mp4": "..a/b../..c.mp4",
        "../a.mp4": f"{tmp_path}/a.mp4",
        "../work 2/a.mp4": f"{tmp_path}/work 2/a.mp4",
        "link/../a.mp4": f"{tmp_path}/store/a.mp4",  # as the file system says
        "/elsewhere/a.mp4": "/elsewhere/a.mp4",
        "/../elsewhere/a.mp4": "/elsewhere/a.mp4",
    }
    for folder in (Path(), tmp_path / "work", Path("deep/..")):
        assert written_paths(wanted, folder) == list(wanted.values())
    assert written_paths(["/a.mp4", "/b/a.mp4"], Path("/")) == ["a.mp4", "b/a.mp4"]
