"""``scripts/extract_features.py``: the files of an extraction, and what a second run does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.machinery import parse_settings
from hiera_video.data import loader
from hiera_video.data.failures import SKIPPED_FILE
from hiera_video.data.transforms import EvaluationViews
from hiera_video.decoding.reader import VideoReader
from hiera_video.errors import ManifestError, VideoError
from hiera_video.models.hiera import HieraModel
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.preparation.pack_shards import MANIFEST_FILE, ShardLayout, make_shards
from tests.support import (
    ROOT,
    TinyDataset,
    error_line,
    files_below,
    forget_accelerator,
    read_manifest,
    run_here,
    run_script,
    save_checkpoint,
    succeed,
    write_manifest,
    write_video,
)

#: 30 frames at 12 per second; clips span 8 frames.
PATHS = ["a.mp4", "folder/b.mp4", "folder/deep er/c.mkv"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of 2.5 seconds in folders, without labels."""
    folder = tmp_path_factory.mktemp("videos")
    for path in PATHS:
        write_video(folder / path, num_frames=30, frame_rate=12, size=(32, 48))
    return write_manifest(folder / "videos.csv", [(path,) for path in PATHS], "path")


def extract_here(checkpoint: Path, manifest: Path, output_dir: Path, *more: str) -> None:
    """An extraction in this process."""
    arguments = [
        f"checkpoint={checkpoint}",
        f"data.manifest={manifest}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
    ]
    forget_accelerator()
    extract_features(parse_settings(FeatureRun, [*arguments, *more]))


def read_features(output_dir: Path, path: str = PATHS[0]) -> dict[str, Tensor]:
    """The tensors of a video, copied: what is loaded changes when the file does."""
    tensors = load_file(output_dir / f"{path}.safetensors")
    return {name: tensor.clone() for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def extracted(
    manifest: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Pooled features by ``accelerate launch``, in windows of the checkpoint's clip length."""
    output_dir = tmp_path_factory.mktemp("extracted") / "features"
    result = run_script(
        "extract_features",
        f"checkpoint={tiny_checkpoint}",
        f"data.manifest={manifest}",
        f"output_dir={output_dir}",
        "data.num_workers=2",
        "features.batch_size=3",
        accelerate=True,
    )
    assert "3 videos: 3 extracted, 0 were there already, 0 failed" in succeed(result)
    return output_dir


def test_a_file_per_video_at_its_relative_path_and_an_index(extracted: Path) -> None:
    assert files_below(extracted) == sorted([*(f"{p}.safetensors" for p in PATHS), "index.parquet"])
    index = pq.read_table(extracted / "index.parquet").to_pydict()
    assert index == {
        "path": PATHS,
        "features": [f"{path}.safetensors" for path in PATHS],
        "num_windows": [4, 4, 4],
        "shape": [[64], [64], [64]],
        "reason": [None, None, None],
    }


def test_names_as_long_as_file_systems_let_them_be(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """243 bytes are left for a name before `.safetensors`; others are cut, and stay apart."""
    names = ["b" * 239 + ".mp4", "b" * 240 + ".mp4", "a" * 250 + "1.mp4", "a" * 250 + "2.mp4"]
    names.append("é" * 125 + "x.mp4")  # two bytes each: none is cut in half
    paths = [f"{folder}/{name}" for folder in ("one", "two") for name in names]
    first = write_video(tmp_path / paths[0], num_frames=8, frame_rate=12, size=32)
    (tmp_path / "two").mkdir()
    for path in paths[1:]:
        shutil.copy(first, tmp_path / path)
    manifest = write_manifest(tmp_path / "videos.csv", [(path,) for path in paths], "path")
    output_dir = tmp_path / "features"
    extract_here(tiny_checkpoint, manifest, output_dir)
    index = pq.read_table(output_dir / "index.parquet").to_pydict()
    assert index["path"] == paths
    assert index["reason"] == [None] * len(paths)
    assert sorted([*index["features"], "index.parquet"]) == files_below(output_dir)
    assert index["features"][0] == f"{paths[0]}.safetensors"
    for path, location in list(zip(paths, index["features"], strict=True))[1:5]:
        digest = hashlib.sha256(path.encode()).hexdigest()[:32]
        assert location.endswith(f"-{digest}.safetensors")
        beginning = location.removesuffix(f"-{digest}.safetensors")
        assert path.startswith(beginning)
        assert 254 <= len(Path(location).name.encode()) <= 255
        assert load_file(output_dir / location)["features"].shape == (1, 64)
    written = {path: (output_dir / path).stat().st_mtime_ns for path in index["features"]}
    extract_here(tiny_checkpoint, manifest, output_dir)
    assert {path: (output_dir / path).stat().st_mtime_ns for path in written} == written


def test_windows_cover_the_video(extracted: Path) -> None:
    for path in PATHS:
        features = read_features(extracted, path)
        assert set(features) == {"features", "start_seconds", "end_seconds"}
        assert features["features"].shape == (4, 64)
        starts, ends = features["start_seconds"].tolist(), features["end_seconds"].tolist()
        assert starts == pytest.approx([0, 8 / 12, 16 / 12, 22 / 12])
        assert ends == pytest.approx([8 / 12, 16 / 12, 24 / 12, 30 / 12])


def test_features_are_the_pooled_output_of_the_model(
    extracted: Path, manifest: Path, tiny_checkpoint: Path
) -> None:
    model = HieraModel.from_pretrained(tiny_checkpoint)
    clip = load_preprocessor(model)
    with VideoReader(manifest.parent / PATHS[1]) as reader:
        frames = reader.frames([8, 10, 12, 14])  # the second window
    (view,) = EvaluationViews(clip, num_crops=1)(frames)
    with torch.inference_mode():
        mean, std = torch.tensor(clip.mean), torch.tensor(clip.std)
        pixels = (view.permute(0, 2, 3, 1) / 255 - mean) / std  # (T, H, W, C)
        output = model(pixels.permute(3, 0, 1, 2)[None])
    found = read_features(extracted, PATHS[1])["features"][1]
    torch.testing.assert_close(found, output.pooler_output[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [("stage1", (2, 8, 8, 8)), ("stage3", (2, 2, 2, 32)), ("stage4", (2, 1, 1, 64))],
)
def test_stage_maps(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, layer: str, shape: tuple[int, ...]
) -> None:
    extract_here(tiny_checkpoint, manifest, tmp_path, f"features.layer={layer}")
    assert read_features(tmp_path)["features"].shape == (4, *shape)
    index = pq.read_table(tmp_path / "index.parquet").to_pydict()
    assert index["shape"] == [list(shape)] * 3


def test_windows_of_given_length_and_stride(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    more = ["features.window_seconds=1", "features.stride_seconds=0.5"]
    extract_here(tiny_checkpoint, manifest, tmp_path, *more)
    features = read_features(tmp_path)
    assert features["start_seconds"].tolist() == [0, 0.5, 1, 1.5]
    assert features["end_seconds"].tolist() == [1, 1.5, 2, 2.5]


def copy_videos(manifest: Path, folder: Path) -> Path:
    shutil.copytree(manifest.parent, folder)
    return folder / manifest.name


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of windows in each forward pass from now on."""
    sizes: list[int] = []
    forward = HieraModel.forward

    def count(model: HieraModel, pixel_values: Tensor, **arguments: Any) -> Any:
        sizes.append(len(pixel_values))
        return forward(model, pixel_values, **arguments)

    monkeypatch.setattr(HieraModel, "forward", count)
    return sizes


@pytest.mark.parametrize("num_workers", [0, 2])
def test_short_videos_share_forward_passes(
    manifest: Path,
    tiny_checkpoint: Path,
    extracted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_workers: int,
) -> None:
    """Four windows each: eight of them fill a batch."""
    monkeypatch.setattr(loader, "_MIN_GROUPS", 1)
    sizes = count_passes(monkeypatch)
    extract_here(tiny_checkpoint, manifest, tmp_path, f"data.num_workers={num_workers}")
    assert sizes == [8, 4]
    for path in PATHS:
        found, expected = read_features(tmp_path, path), read_features(extracted, path)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_group_is_the_same_to_the_bit_by_any_number_of_workers(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five videos in groups of two, and two or three windows in a batch."""
    folder = copy_videos(manifest, tmp_path / "videos").parent
    paths = [*PATHS, "d.mp4", "e.mp4"]
    for path in paths[3:]:
        shutil.copy(folder / PATHS[0], folder / path)
    five = write_manifest(folder / "five.csv", [(path,) for path in paths], "path")
    monkeypatch.setattr(loader, "_MIN_GROUPS", 2)
    for num_workers in (0, 1, 2):
        more = ["features.batch_size=3", f"data.num_workers={num_workers}"]
        extract_here(tiny_checkpoint, five, tmp_path / str(num_workers), *more)
    for path in paths:
        expected = read_features(tmp_path / "0", path)
        for num_workers in (1, 2):
            found = read_features(tmp_path / str(num_workers), path)
            assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def modification_times(output_dir: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_mtime_ns for path in sorted(output_dir.rglob("*.safetensors"))
    }


def test_a_second_run_skips_what_is_finished(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract_here(tiny_checkpoint, manifest, tmp_path)
    before = modification_times(tmp_path)
    index = pq.read_table(tmp_path / "index.parquet")
    capsys.readouterr()
    extract_here(tiny_checkpoint, manifest, tmp_path)
    assert "0 extracted, 3 were there already" in capsys.readouterr().out
    assert modification_times(tmp_path) == before
    assert pq.read_table(tmp_path / "index.parquet").equals(index)


@pytest.mark.parametrize(
    "more",
    ["features.layer=stage4", "features.window_seconds=1", "precision=bf16", "clip.short_side=40"],
)
def test_other_settings_are_extracted_anew(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, more: str
) -> None:
    extract_here(tiny_checkpoint, manifest, tmp_path)
    before = modification_times(tmp_path)
    extract_here(tiny_checkpoint, manifest, tmp_path, more)
    after = modification_times(tmp_path)
    assert all(after[name] > before[name] for name in before)


def test_other_weights_are_extracted_anew(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """At the same path, too: a run's ``last`` is another model tomorrow."""
    checkpoint = save_checkpoint(tmp_path / "checkpoint", seed=1)
    extract_here(checkpoint, manifest, tmp_path / "features")
    before = read_features(tmp_path / "features")["features"]
    save_checkpoint(checkpoint, seed=2)
    extract_here(checkpoint, manifest, tmp_path / "features")
    assert not torch.allclose(read_features(tmp_path / "features")["features"], before)


def test_another_segment_is_extracted_anew(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    header = "path,start_seconds,end_seconds"
    root = f"data.root={manifest.parent}"
    for start, end in ((0.5, 1.5), (1.0, 2.0)):
        segments = write_manifest(tmp_path / "segments.csv", [(PATHS[0], start, end)], header)
        extract_here(tiny_checkpoint, segments, tmp_path / "features", root)
        features = read_features(tmp_path / "features")
        assert features["start_seconds"][0] == start
        assert features["end_seconds"][-1] == pytest.approx(end)


def test_another_video_at_the_same_path_is_extracted_anew(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told by its size, or by when it was written."""
    videos = copy_videos(manifest, tmp_path / "videos")
    extract_here(tiny_checkpoint, videos, tmp_path / "features")
    before = {path: read_features(tmp_path / "features", path) for path in PATHS}
    write_video(videos.parent / PATHS[0], num_frames=20, frame_rate=12, size=(32, 48))
    status = (videos.parent / PATHS[1]).stat()
    os.utime(videos.parent / PATHS[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    capsys.readouterr()
    extract_here(tiny_checkpoint, videos, tmp_path / "features")
    assert "2 extracted, 1 were there already" in capsys.readouterr().out
    after = {path: read_features(tmp_path / "features", path) for path in PATHS}
    assert after[PATHS[0]]["end_seconds"][-1] == pytest.approx(20 / 12)
    assert torch.equal(after[PATHS[1]]["features"], before[PATHS[1]]["features"])


def test_a_shard_in_which_the_video_lies_elsewhere_is_extracted_anew(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = tmp_path / "shards"
    features = tmp_path / "features"
    for paths, told in (
        (PATHS, "3 extracted, 0 were there already"),
        (PATHS, "0 extracted, 3 were there already"),
        (PATHS[1:], "2 extracted, 0 were there already"),
    ):
        shutil.rmtree(shards, ignore_errors=True)
        some = write_manifest(manifest.parent / "some.csv", [(path,) for path in paths], "path")
        make_shards(some, shards, ShardLayout(10**9, 5))
        extract_here(tiny_checkpoint, shards / MANIFEST_FILE, features)
        assert told in capsys.readouterr().out


def test_an_interrupted_extraction_is_continued(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One video is missing, one is cut off in the middle of a write that bypassed us."""
    extract_here(tiny_checkpoint, manifest, tmp_path)
    expected = {path: read_features(tmp_path, path)["features"] for path in PATHS}
    before = modification_times(tmp_path)
    (tmp_path / f"{PATHS[1]}.safetensors").unlink()
    damaged = tmp_path / f"{PATHS[2]}.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    (tmp_path / "index.parquet").unlink()
    capsys.readouterr()
    extract_here(tiny_checkpoint, manifest, tmp_path)
    assert "2 extracted, 1 were there already" in capsys.readouterr().out
    for path in PATHS:
        assert torch.equal(read_features(tmp_path, path)["features"], expected[path])
    assert modification_times(tmp_path)["a.mp4.safetensors"] == before["a.mp4.safetensors"]
    assert pq.read_table(tmp_path / "index.parquet")["num_windows"].to_pylist() == [4, 4, 4]


def test_files_say_what_they_were_made_with(extracted: Path) -> None:
    with safe_open(extracted / f"{PATHS[0]}.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["layer"] == "pooled"
    assert len(metadata["weights"]) == 64


def test_a_bad_video_is_skipped_counted_and_listed(
    manifest: Path,
    tiny_checkpoint: Path,
    extracted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("this is a text\n" * 100)
    rows = [(manifest.parent / PATHS[0],), (bad,), (manifest.parent / PATHS[1],)]
    mixed = write_manifest(tmp_path / "mixed.csv", rows, "path")
    output_dir = tmp_path / "features"
    extract_here(tiny_checkpoint, mixed, output_dir, "data.on_error=skip", "data.num_workers=2")
    assert "3 videos: 2 extracted, 0 were there already, 1 failed" in capsys.readouterr().out
    index = pq.read_table(output_dir / "index.parquet").to_pydict()
    reason = "invalid data found when processing input"
    assert index["path"] == [str(row[0]) for row in rows]
    assert index["reason"] == [None, reason, None]
    assert index["features"][1] is None
    assert json.loads((output_dir / SKIPPED_FILE).read_text()) == {
        "path": str(bad),
        "reason": reason,
    }
    for row, path in ((0, PATHS[0]), (2, PATHS[1])):  # the good ones are unharmed
        found = load_file(output_dir / index["features"][row])["features"]
        expected = read_features(extracted, path)["features"]  # made in batches of another size
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_raise_ends_in_one_line_and_leaves_whole_files(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    rows = [(manifest.parent / PATHS[0],), (bad,)]
    mixed = write_manifest(tmp_path / "mixed.csv", rows, "path")
    line = error_line(
        run_script(
            "extract_features",
            f"checkpoint={tiny_checkpoint}",
            f"data.manifest={mixed}",
            f"output_dir={tmp_path / 'features'}",
            "data.num_workers=0",
        )
    )
    assert line == f"{bad}: the file is empty (0 bytes)"
    (left,) = files_below(tmp_path / "features")
    assert load_file(tmp_path / "features" / left)["features"].shape == (4, 64)


def test_raise_names_the_bad_video(tiny_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("this is a text\n" * 100)
    manifest = write_manifest(tmp_path / "videos.csv", [("bad.mp4",)], "path")
    with pytest.raises(VideoError, match=r"bad\.mp4: invalid data found"):
        extract_here(tiny_checkpoint, manifest, tmp_path / "features")


def test_a_video_named_twice_is_refused(
    manifest: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Its features would be written twice to one file, of which one would be lost."""
    twice = write_manifest(tmp_path / "twice.csv", [("a.mp4",), ("b.mp4",), ("./a.mp4",)], "path")
    with pytest.raises(ManifestError, match=r"twice\.csv, line 4: \./a\.mp4 .* line 2 already"):
        extract_here(tiny_checkpoint, twice, tmp_path / "features", "data.on_error=skip")


def test_paths_out_of_the_root_have_places_of_their_own(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data/mine"
    places = {
        "x/../a.mp4": "a.mp4",
        "../a.mp4": "__parent__/a.mp4",
        "../../a.mp4": "__parent__/__parent__/a.mp4",
        "../beside.. /a.mp4": "__parent__/beside.. /a.mp4",
        f"{tmp_path}/b/../b/a.mp4": f"{tmp_path}/b/a.mp4"[1:],
    }
    (root / "x").mkdir(parents=True)
    for number, path in enumerate(places):
        write_video(root / path, num_frames=10 + number, frame_rate=10, size=32)
    outside = write_manifest(root / "outside.csv", [(path,) for path in places], "path")
    output_dir = tmp_path / "features"
    extract_here(tiny_checkpoint, outside, output_dir)
    index = pq.read_table(output_dir / "index.parquet").to_pydict()
    assert index["path"] == list(places)
    assert index["features"] == [f"{place}.safetensors" for place in places.values()]
    for number, place in enumerate(index["features"]):  # each video's own
        end = load_file(output_dir / place)["end_seconds"][-1]
        assert end == pytest.approx((10 + number) / 10)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "a.mp4", "b", "features"}


def test_paths_that_share_a_place_are_kept_apart(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path inside the root keeps the place, wherever it stands in the manifest."""
    root, beside = tmp_path / "root", tmp_path / "a.mp4"
    paths = [str(beside), str(beside)[1:], "__parent__/a.mp4", "../a.mp4", f"/{tmp_path}/a.mp4"]
    for number, path in enumerate(paths[:3]):
        write_video(root / path, num_frames=10 + number, frame_rate=10, size=32)
    mixed = write_manifest(root / "mixed.csv", [(path,) for path in paths], "path")
    for told in ("5 extracted, 0 were there", "0 extracted, 5 were there"):
        extract_here(tiny_checkpoint, mixed, tmp_path / "features")
        assert told in capsys.readouterr().out
    places = pq.read_table(tmp_path / "features/index.parquet")["features"].to_pylist()
    assert len(set(places)) == 5
    assert places[1:3] == [f"{path}.safetensors" for path in paths[1:3]]
    ends = [load_file(tmp_path / "features" / place)["end_seconds"][-1] for place in places]
    assert ends == pytest.approx([1.0, 1.1, 1.2, 1.0, 1.0])


def test_what_is_prepared_is_extracted_evaluated_and_moved(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a folder beside the one worked in, and from one below the manifest's."""
    shutil.copytree(tiny_dataset.folder / "val", tmp_path / "videos")
    shutil.copytree(tiny_dataset.folder / "val", tmp_path / "work/data/mine/videos")
    monkeypatch.chdir(tmp_path / "work")
    script = ROOT / "datasets/folder/prepare.py"
    for videos, start in (("../videos", f"{tmp_path}/videos"), ("data/mine/videos", "videos")):
        assert run_here(script, videos, "data/mine", "--val-share", 0.4) == 0
        paths = [path for path, _ in read_manifest(Path("data/mine/val.csv"))]
        assert len(paths) == 3
        assert all(path.startswith(f"{start}/") for path in paths)
        shutil.rmtree(tmp_path / "work/moved", ignore_errors=True)
        shutil.copytree("data/mine", "moved/mine")
        for manifest in (Path("data/mine/val.csv"), Path("moved/mine/val.csv").absolute()):
            output_dir = Path(tempfile.mkdtemp(dir=tmp_path))
            extract_here(tiny_checkpoint, manifest, output_dir)
            index = pq.read_table(output_dir / "index.parquet")["features"].to_pylist()
            assert index == [f"{path.lstrip('/')}.safetensors" for path in paths]
            arguments = [f"checkpoint={tiny_checkpoint}", f"data.val.manifest={manifest}"]
            forget_accelerator()
            more = [f"output_dir={output_dir}", "data.num_workers=0"]
            assert evaluate(parse_settings(EvaluateRun, [*arguments, *more]))["num_failed"] == 0


def test_labels_and_groups_are_kept_and_the_checkpoint_is_named(
    tiny_dataset: TinyDataset, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A second run adds them to an index of features that were there before."""
    output_dir = tmp_path / "features"
    extract_here(tiny_checkpoint, tiny_dataset.val, output_dir)
    index = pq.read_table(output_dir / "index.parquet")
    rows = read_manifest(tiny_dataset.val)
    assert index["path"].to_pylist() == [path for path, _ in rows]
    assert index["label"].to_pylist() == [label for _, label in rows]
    assert "group" not in index.column_names
    extracted = (output_dir / index["features"][0].as_py()).stat().st_mtime_ns
    (first, label), *others = rows
    labelled = [(first, f" {label}\u200b ", "01"), *((path, "", "") for path, _ in others)]
    manifest = write_manifest(tmp_path / "kept.csv", labelled, "path,label,group")
    extract_here(tiny_checkpoint, manifest, output_dir, f"data.root={tiny_dataset.folder}")
    index = pq.read_table(output_dir / "index.parquet")
    assert index["label"].to_pylist() == [label, *(None for _ in others)]
    assert index["group"].to_pylist() == ["01", *(None for _ in others)]
    assert (output_dir / index["features"][0].as_py()).stat().st_mtime_ns == extracted
    settings = {key.decode(): text.decode() for key, text in index.schema.metadata.items()}
    with safe_open(output_dir / index["features"][0].as_py(), "pt") as file:
        stored = file.metadata()
    assert settings["checkpoint"] == str(tiny_checkpoint)
    for name in ("weights", "layer", "clip"):
        assert settings[name] == stored[name]
