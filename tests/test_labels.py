"""Class names: how they are written, and which index each has, wherever they come from."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.config.machinery import parse_settings
from hiera_video.data.class_list import read_classes, write_classes
from hiera_video.errors import ManifestError
from hiera_video.inspection.rows import read_rows
from hiera_video.labels import (
    describe_order,
    normalize_label,
    order_classes,
    same_names,
    similar_labels,
)
from hiera_video.models.classification import HieraForVideoClassification
from hiera_video.preparation.pack_shards import ShardLayout, index_shards, make_shards
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from tests.support import (
    ROOT,
    TINY_ARGUMENTS,
    coloured_frames,
    open_labelled,
    read_manifest,
    run_here,
    save_checkpoint,
    write_manifest,
    write_video,
)

NUMBERS = [str(number) for number in range(12)]
CAFE, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("jump", "jump"),
        (" jump\t", "jump"),
        ("jump\nrope", "jump rope"),
        ("jump\r\nrope", "jump rope"),
        ("jump\u2028rope\x85", "jump rope"),
        (DECOMPOSED, CAFE),
        ("cafe\u200b\u0301", CAFE),
        ("\ufeffju\u200bmp\u2060", "jump"),
        ("ju\x00mp\x7f", "jump"),
        ("\u200b \u200e", ""),
        ("Holding something, then dropping it", "Holding something, then dropping it"),
        ("a|b", "a|b"),
        ("跳 绳", "跳 绳"),
    ],
)
def test_names_are_normalised(written: str, name: str) -> None:
    assert normalize_label(written) == name
    assert normalize_label(name) == name


def test_no_character_breaks_a_line_or_is_invisible() -> None:
    for code in range(0x3000):
        name = normalize_label(f"a{chr(code)}b")
        assert len(name.splitlines()) == 1
        assert unicodedata.is_normalized("NFC", name)
        assert all(unicodedata.category(character) != "Cc" for character in name)


def test_numbers_go_by_value_and_everything_else_as_text() -> None:
    assert order_classes(reversed(NUMBERS)) == NUMBERS
    assert order_classes(["10", "9", "007", "7", "9"]) == ["007", "7", "9", "10"]
    assert order_classes(["10", "9", "none"]) == ["10", "9", "none"]
    assert order_classes(["-1", "10", "9"]) == ["-1", "10", "9"]
    assert order_classes(["run", "jump ", "jump"]) == ["jump", "run"]


def test_an_assumed_order_is_said_with_the_first_five() -> None:
    assert (
        describe_order(NUMBERS)
        == "0, 1, 2, 3, 4, ... (sorted by value, since there is no classes.txt)"
    )
    assert describe_order(["a", "b"]) == "a, b (sorted as text, since there is no classes.txt)"


def test_labels_that_may_be_one_are_told_with_both_spellings_and_counts() -> None:
    counts = {"Jump": 3, "jump": 4, "long jump": 1, "longjump": 2, "run": 9}
    start = "labels that differ only in case or white space count as different classes: "
    assert similar_labels(counts) == [
        f"{start}'Jump' (3), 'jump' (4)",
        f"{start}'long jump' (1), 'longjump' (2)",
    ]


def test_names_are_compared_as_they_are_read() -> None:
    assert same_names({0: CAFE, 1: "b"}, {0: DECOMPOSED, 1: "b "})
    assert not same_names({0: CAFE, 1: "b"}, {1: CAFE, 0: "b"})
    assert not same_names({0: CAFE}, {0: CAFE, 1: "b"})


def manifest_of(folder: Path, *labels: str) -> Path:
    rows = [(f"{row}.mp4", label) for row, label in enumerate(labels)]
    return write_manifest(folder / "m.csv", rows)


def test_a_manifest_of_numbers_is_in_their_order(tmp_path: Path) -> None:
    manifest, labels = open_labelled(manifest_of(tmp_path, *reversed(NUMBERS)))
    assert labels.order_is_assumed
    assert labels.classes == NUMBERS
    assert manifest.column("labels") == list(range(11, -1, -1))


def test_spellings_of_a_label_are_one_class(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, CAFE, DECOMPOSED, "bar\u200b", "bar", "Bar", "jump\nrope")
    manifest, labels = open_labelled(path)
    assert labels.classes == ["Bar", "bar", CAFE, "jump rope"]
    assert manifest.column("labels") == [2, 2, 1, 1, 0, 3]
    assert labels.warnings == similar_labels({"Bar": 1, "bar": 2})
    write_classes(tmp_path / "classes.txt", [DECOMPOSED, "bar", "jump\nrope", "Bar"])
    assert read_classes(tmp_path / "classes.txt") == [CAFE, "bar", "jump rope", "Bar"]
    manifest, labels = open_labelled(path)
    assert not labels.order_is_assumed
    assert manifest.column("labels") == [0, 0, 1, 1, 3, 2]


def test_names_of_older_checkpoints_go_on_matching(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, CAFE, "bar", DECOMPOSED)
    manifest, labels = open_labelled(path, [DECOMPOSED, "bar\u200b"])
    assert labels.classes == [DECOMPOSED, "bar\u200b"]
    assert manifest.column("labels") == [0, 1, 0]
    # A checkpoint that took two spellings for two classes: each video is of its own, as before.
    manifest, _ = open_labelled(path, [DECOMPOSED, "bar", CAFE])
    assert manifest.column("labels") == [2, 1, 0]


def test_an_invisible_label_is_none(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv, line 3: has no label, and others have"):
        open_labelled(manifest_of(tmp_path, "a", "\u200b", "b"))


def test_several_labels_in_a_cell_are_for_another_task(tmp_path: Path) -> None:
    path = manifest_of(tmp_path, "Putting a, b and c", "run|jump")
    with pytest.raises(ManifestError) as caught:
        open_labelled(path)
    assert str(caught.value) == (
        f"{path}, line 3: label 'run|jump': several labels in a row, joined by |, are for "
        "task=multi_label; give one, or list the name in classes.txt if it is that of one class"
    )
    classes = ["run|jump", "Putting a, b and c"]
    assert open_labelled(path, classes)[0].column("labels") == [1, 0]
    with pytest.raises(ManifestError, match=r"line 3: .* joined by \|"):
        open_labelled(path, ["run", "jump", "Putting a, b and c"])
    write_classes(tmp_path / "classes.txt", classes)
    assert open_labelled(path)[0].column("labels") == [1, 0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve class folders with a number for a name, a video in each."""
    folder = tmp_path_factory.mktemp("numbers")
    frames = [coloured_frames("red", int(name)) + 15 * int(name) for name in NUMBERS]
    for name, picture in zip(NUMBERS, frames, strict=True):
        write_video(folder / name / "a.mp4", frames=picture, frame_rate=12, gop=6)
    return folder


def prepare(dataset: str, *arguments: object) -> None:
    assert run_here(ROOT / "datasets" / dataset / "prepare.py", *arguments) == 0


def test_folders_lists_and_shards_of_numbers_are_in_their_order(
    folders: Path, tmp_path: Path
) -> None:
    prepare("folder", folders, tmp_path / "folder", "--val-share", "0")
    assert read_classes(tmp_path / "folder" / "classes.txt") == NUMBERS
    assert read_rows(folders).classes == NUMBERS
    lines = "".join(f"{name}/a.mp4 {name}\n" for name in reversed(NUMBERS))
    (tmp_path / "list.txt").write_text(lines)
    prepare("lists", tmp_path / "list", "--train", tmp_path / "list.txt", "--root", folders)
    assert read_classes(tmp_path / "list" / "classes.txt") == NUMBERS
    train_csv = tmp_path / "folder" / "train.csv"
    make_shards(train_csv, tmp_path / "shards", ShardLayout(10**9, 5))
    index_shards(
        [str(path) for path in sorted((tmp_path / "shards").glob("*.tar"))], tmp_path / "s.csv"
    )
    assert open_labelled(tmp_path / "s.csv")[1].classes == NUMBERS


def test_a_folder_with_a_line_break_in_its_name_is_one_class(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("jump\nrope", DECOMPOSED, CAFE, "Run", "run"):
        shutil.copytree(folders / "1", tmp_path / "videos" / name)
    prepare("folder", tmp_path / "videos", tmp_path / "out", "--val-share", "0")
    assert read_classes(tmp_path / "out" / "classes.txt") == ["Run", CAFE, "jump rope", "run"]
    manifest, labels = open_labelled(tmp_path / "out" / "train.csv")
    indices = manifest.column("labels")
    assert sorted(indices) == [0, 1, 1, 2, 3]
    assert manifest[indices.index(2)].local_file.parent.name == "jump\nrope"
    (warning,) = similar_labels({"Run": 1, "run": 1})
    assert f"warning: {warning}\n" in capsys.readouterr().out
    assert run_here(ROOT / "scripts/inspect_videos.py", tmp_path / "videos", tmp_path / "seen") == 0
    assert f"warning: {warning}\n" in capsys.readouterr().out
    assert read_classes(tmp_path / "seen" / "classes.txt") == labels.classes


def evaluate_here(checkpoint: Path, manifest: Path, output_dir: Path) -> list[str]:
    """What an evaluation takes for the class of each video."""
    arguments = [
        f"checkpoint={checkpoint}",
        f"data.val.manifest={manifest}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "evaluate.num_clips=1",
        "evaluate.num_crops=1",
    ]
    evaluate(parse_settings(EvaluateRun, arguments))
    return pq.read_table(output_dir / "predictions.parquet")["prediction"].to_pylist()


def test_weights_without_names_are_scored_in_the_order_that_is_said(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"{name}/a.mp4", name) for name in NUMBERS]
    manifest = write_manifest(folders / "m.csv", rows)
    named = save_checkpoint(tmp_path / "named", classes=NUMBERS)
    nameless = save_checkpoint(tmp_path / "nameless", classes=NUMBERS, id2label=None)
    other = save_checkpoint(tmp_path / "other", classes=sorted(NUMBERS))
    expected = evaluate_here(named, manifest, tmp_path / "a")
    assert len(set(expected)) > 1
    assert "assumed" not in capsys.readouterr().out
    assert evaluate_here(nameless, manifest, tmp_path / "b") == expected
    line = f"the weights have no class names; assumed: {describe_order(NUMBERS)}\n"
    assert line in capsys.readouterr().out
    # A checkpoint with names decides: the same head, with names in the order of text.
    as_text = sorted(NUMBERS)
    assert evaluate_here(other, manifest, tmp_path / "c") == [
        as_text[int(name)] for name in expected
    ]


def test_a_run_says_what_it_assumes_and_keeps_the_order_of_its_weights(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that began when numbers were sorted as text goes on so, and so does what starts from
    its weights."""
    rows = [(f"{name}/a.mp4", name) for name in NUMBERS]
    manifest = write_manifest(folders / "train.csv", rows)

    def run(output: str, *more: str) -> dict[int, str] | None:
        arguments = [
            *TINY_ARGUMENTS,
            f"data.train.manifest={manifest}",
            f"output_dir={tmp_path / output}",
            "data.num_workers=0",
            "trackers=[]",
            "train.batch_size=12",
            *more,
        ]
        train(parse_settings(TrainRun, arguments))
        last = HieraForVideoClassification.from_pretrained(tmp_path / output / "last")
        return last.config.id2label

    assert run("new", "train.epochs=1") == dict(enumerate(NUMBERS))
    assert f"classes    {describe_order(NUMBERS)}\n" in capsys.readouterr().out
    as_text = dict(enumerate(sorted(NUMBERS)))
    (folders / "classes.txt").write_text("".join(f"{name}\n" for name in as_text.values()))
    assert run("old", "train.epochs=1") == as_text
    (folders / "classes.txt").unlink()
    capsys.readouterr()
    assert run("old", "train.epochs=2") == as_text
    assert "resuming from step 1" in (out := capsys.readouterr().out)
    assert "classes  " not in out
    before = HieraForVideoClassification.from_pretrained(tmp_path / "old" / "last")
    assert run(
        "next", "train.epochs=1", f"init_from={tmp_path}/old/last", "optimizer.lr=1e-12"
    ) == (as_text)
    after = HieraForVideoClassification.from_pretrained(tmp_path / "next" / "last")
    torch.testing.assert_close(after.classifier.weight, before.classifier.weight)


def test_another_spelling_of_a_class_keeps_its_head(tmp_path: Path) -> None:
    source = save_checkpoint(tmp_path / "model", classes=["bar", DECOMPOSED])
    before = HieraForVideoClassification.from_pretrained(source)
    after = HieraForVideoClassification.from_pretrained(source, id2label={0: "bar", 1: CAFE})
    assert after.config.id2label == {0: "bar", 1: CAFE}
    torch.testing.assert_close(after.classifier.weight, before.classifier.weight)


def test_kinetics_and_imagenet_folders(tmp_path: Path) -> None:
    """Annotations with labels in two forms of Unicode; images in folders that are numbers."""
    lines = [f"{label},id{row},0,10,train" for row, label in enumerate((CAFE, DECOMPOSED, "bar"))]
    header = "label,youtube_id,time_start,time_end,split"
    (tmp_path / "k.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    for row in range(3):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / f"id{row}_000000_000010.mp4").touch()
    prepare("kinetics", tmp_path / "videos", tmp_path / "k", "--annotations", tmp_path / "k.csv")
    assert read_classes(tmp_path / "k" / "classes.txt") == ["bar", CAFE]
    assert [label for _, label in read_manifest(tmp_path / "k" / "train.csv")] == [
        CAFE,
        CAFE,
        "bar",
    ]
    for split in ("train", "val"):
        for name in NUMBERS:
            image = tmp_path / "images" / split / name / "a.png"
            image.parent.mkdir(parents=True)
            image.touch()
    prepare("imagenet", tmp_path / "images", tmp_path / "i")
    assert read_classes(tmp_path / "i" / "classes.txt") == NUMBERS


def test_names_given_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text(f"{CAFE}\n{DECOMPOSED}\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="'café' is there twice"):
        read_classes(tmp_path / "classes.txt")
