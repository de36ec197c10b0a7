"""Tar shards: the same videos as in files, wherever the shards are, and what may be wrong."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import fsspec
import pytest
import torch
from PIL import Image
from webdataset import ShardWriter, WebDataset

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import AugmentSettings, ClipSettings
from hiera_video.config.groups import DataSource, ReadingSettings, TrainData
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.dataset import TrainClips
from hiera_video.data.loader import TrainingLoader, TrainingOrder
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.decoding.open_video import open_reader
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.decoding.source import ShardMember
from hiera_video.errors import ManifestError, UserError, VideoError
from hiera_video.preparation.pack_shards import (
    MANIFEST_FILE,
    ShardLayout,
    index_shards,
    make_shards,
    plan_shards,
)
from tests.range_server import RangeServer, serve
from tests.support import (
    ROOT,
    TINY_CLIP,
    TinyDataset,
    cut_off,
    files_below,
    open_labelled,
    read_manifest,
    run_here,
    write_image_dataset,
    write_manifest,
    write_video,
)

CPU = torch.device("cpu")
COLUMNS = "path,label,shard,member,offset_bytes,size_bytes"


def pack(dataset: TinyDataset, folder: Path, num_videos: int = 7) -> Path:
    """The training videos in shards of ``num_videos``; their manifest."""
    make_shards(dataset.train, folder, ShardLayout(10**9, num_videos))
    return folder / MANIFEST_FILE


def name_by_url(manifest: Path, target: Path, url: str) -> Path:
    """The manifest of the same shards at ``url``."""
    target.write_text(re.sub(r",(\d+\.tar),", rf",{url}/\1,", manifest.read_text()))
    return target


@pytest.fixture(scope="module")
def packed(tiny_dataset: TinyDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 training videos in six shards. Tests only read it."""
    return pack(tiny_dataset, tmp_path_factory.mktemp("packed"))


@pytest.fixture
def server(packed: Path) -> Iterator[RangeServer]:
    with serve(packed.parent) as server:
        yield server


def training_batches(manifest: Manifest, num_workers: int) -> list[ClipBatch]:
    """Two epochs of the whole manifest."""
    clips = TrainClips(
        manifest, ClipSettings(**TINY_CLIP), AugmentSettings(), DecodingOptions(), 0, 1
    )
    order = TrainingOrder(
        len(manifest),
        rows_per_batch=4,
        accumulate_steps=1,
        num_processes=1,
        process_index=0,
        seed=0,
    )
    loader = TrainingLoader(clips, order, ReadingSettings(num_workers=num_workers), CPU)
    return [batch for epoch in range(2) for batch in loader.batches(epoch, 0)]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("place", ["folder", "http", "memory"])
def test_training_sees_the_same_samples_as_from_files(
    tiny_dataset: TinyDataset,
    packed: Path,
    server: RangeServer,
    tmp_path: Path,
    place: str,
    num_workers: int,
) -> None:
    path = packed
    if place != "folder":
        url = server.url if place == "http" else "memory://shards"
        path = name_by_url(packed, tmp_path / "m.csv", url)
    if place == "memory":  # workers are forked, and inherit it
        fsspec.filesystem("memory").put(str(packed.parent), "/", recursive=True)
        fsspec.filesystem("memory").mv(f"/{packed.parent.name}", "/shards", recursive=True)
    manifest = open_manifest(
        TrainData(train=DataSource(manifest=path)),
        "data.train.manifest",
        ClipSettings(**TINY_CLIP),
        targets=ClassLabels(),
    )
    batches = training_batches(manifest, num_workers)
    rows = [row for batch in batches for row in batch.rows.tolist()]
    assert sorted(rows[:36]) == sorted(rows[36:]) == list(range(36))
    for ours, theirs in zip(
        batches, training_batches(open_labelled(tiny_dataset.train)[0], num_workers=0), strict=True
    ):
        assert ours.rows.equal(theirs.rows)
        assert ours.targets["labels"].equal(theirs.targets["labels"])
        assert ours.pixel_values.equal(theirs.pixel_values)
    if place == "http":
        assert server.num_parts == 72  # one request for each video


@pytest.mark.parametrize(
    "decoder", ["pyav", "decord", pytest.param("torchcodec", marks=pytest.mark.ffmpeg)]
)
def test_decoders_give_the_same_bits(tiny_dataset: TinyDataset, packed: Path, decoder: str) -> None:
    files, shards = Manifest(tiny_dataset.train), Manifest(packed)
    for index in range(0, 36, 5):
        frames = [
            open_reader(m[index].file, DecodingOptions(decoder)).frames([0, 7, 11])
            for m in (files, shards)
        ]
        assert frames[0].equal(frames[1])


def test_the_manifest_of_shards_says_what_the_other_one_says(
    tiny_dataset: TinyDataset, packed: Path
) -> None:
    assert read_manifest(packed) == read_manifest(tiny_dataset.train)
    assert open_labelled(packed)[1].classes == list(tiny_dataset.classes)
    assert packed.read_text().splitlines()[0] == COLUMNS
    names = ["classes.txt", MANIFEST_FILE, *(f"{n:06d}.tar" for n in range(6))]
    assert files_below(packed.parent) == sorted(names)


def test_images_and_seconds(tmp_path: Path) -> None:
    images = write_image_dataset(tmp_path / "images", 4, 0)
    rows = [(*row, 0.25, "") for row in read_manifest(images.train)]
    write_manifest(images.train, rows, "path,label,start_seconds,end_seconds")
    manifest, files = Manifest(pack(images, tmp_path / "shards")), Manifest(images.train)
    assert [manifest[i].start_seconds for i in range(4)] == [0.25] * 4
    for index in range(4):
        ours, theirs = (open_reader(m[index].file).frames([0]) for m in (manifest, files))
        assert ours.equal(theirs)


def test_videos_of_any_name(tmp_path: Path) -> None:
    """Dots, unusual suffixes, and none: for webdataset a suffix starts at the first dot."""
    names = ["v1.5 (a).flv", "b.MP4", "c", "d.x.mp4"]
    videos = [tmp_path / name for name in names]
    for number, video in enumerate(videos):
        write_video(tmp_path / "whole.mp4", num_frames=8 + number).rename(video)
    files = write_manifest(tmp_path / "files.csv", [(name, "x") for name in names])
    make_shards(files, tmp_path / "shards", ShardLayout(10**9, 9))
    manifest = Manifest(tmp_path / "shards" / MANIFEST_FILE)
    for index, video in enumerate(videos):
        member = manifest[index].file
        assert isinstance(member, ShardMember)
        assert member.read().data == video.read_bytes()
        with VideoReader(member.read(), DecodingOptions("pyav")) as reader:
            assert reader.index.num_frames == 8 + index


def test_a_file_that_cannot_be_read_leaves_no_shard(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    files = write_manifest(tmp_path / "files.csv", [("folder.mp4", "x")])
    with pytest.raises(UserError, match=r"folder\.mp4: it has no numbered pictures"):
        make_shards(files, tmp_path / "shards", ShardLayout(10**9, 9))
    assert files_below(tmp_path / "shards") == []


def test_webdataset_streams_the_shards(tiny_dataset: TinyDataset, packed: Path) -> None:
    urls = [str(packed.parent / f"{number:06d}.tar") for number in range(6)]
    samples = list(WebDataset(urls, shardshuffle=False))
    assert len(samples) == 36
    for sample, (path, label) in zip(samples, read_manifest(tiny_dataset.train), strict=True):
        assert sample["mp4"] == (tiny_dataset.folder / path).read_bytes()
        said = json.loads(sample["json"])
        assert (said["path"], said["label"]) == (path, label)


def test_shards_are_filled_in_order() -> None:
    assert plan_shards([4, 4, 4, 20, 1, 1, 1], max_bytes=10, max_videos=2) == [
        range(2),
        range(2, 3),
        range(3, 4),
        range(4, 6),
        range(6, 7),
    ]


def test_packing_goes_on_where_it_was_interrupted(
    tiny_dataset: TinyDataset, packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(packed.parent, folder)
    whole = {name: (folder / name).read_bytes() for name in files_below(folder)}
    for name in ("000004.tar", "000005.tar", MANIFEST_FILE):
        (folder / name).unlink()
    before = (folder / "000000.tar").stat().st_mtime_ns
    assert pack(tiny_dataset, folder).exists()
    assert (folder / "000000.tar").stat().st_mtime_ns == before
    assert {name: (folder / name).read_bytes() for name in files_below(folder)} == whole


def test_shards_of_something_else_are_not_mixed_in(
    tiny_dataset: TinyDataset, packed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(packed.parent, folder)
    with pytest.raises(UserError, match=r"000000\.tar: holds other videos than .*train\.csv"):
        pack(tiny_dataset, folder, num_videos=6)
    with pytest.raises(UserError, match=r"000003\.tar: holds other videos"):
        pack(tiny_dataset, folder, num_videos=12)


def test_a_manifest_is_not_replaced_by_that_of_its_shards(
    tiny_dataset: TinyDataset, tmp_path: Path
) -> None:
    own = tmp_path / MANIFEST_FILE
    shutil.copy(tiny_dataset.val, own)
    with pytest.raises(UserError, match="is an input that an output would replace"):
        make_shards(own, tmp_path, ShardLayout(10**9, 9))
    assert own.read_bytes() == tiny_dataset.val.read_bytes()
    assert files_below(tmp_path) == [MANIFEST_FILE]
    with pytest.raises(UserError, match=r"gone\.csv: cannot be read"):
        make_shards(tmp_path / "gone.csv", tmp_path, ShardLayout(10**9, 9))


def test_the_script(
    tiny_dataset: TinyDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, folder = ROOT / "scripts" / "make_shards.py", tmp_path / "shards"
    assert run_here(script, tiny_dataset.val, folder, "--shard-videos=4") == 0
    assert "9 videos in 3 shards" in capsys.readouterr().out
    assert run_here(script, tiny_dataset.val, folder, "--shard-videos=4", "--url=s3://b/v/") == 0
    assert ",s3://b/v/000002.tar," in (folder / MANIFEST_FILE).read_text()
    assert run_here(script, tiny_dataset.val, folder, "--shard-megabytes=0") == 2
    assert "--shard-megabytes=0: wanted at least 1" in capsys.readouterr().err
    assert run_here(script, folder / MANIFEST_FILE, tmp_path / "twice") == 2
    wanted = "s3://b/v/000000.tar/00000000.mp4: is inside a tar shard; this command needs videos in"
    assert wanted in capsys.readouterr().err


class TestShardsOfOthers:
    """``scripts/index_shards.py``."""

    @pytest.fixture
    def videos(self, tiny_dataset: TinyDataset) -> list[tuple[bytes, str]]:
        rows = read_manifest(tiny_dataset.train)[:6]
        return [((tiny_dataset.folder / path).read_bytes(), label) for path, label in rows]

    @staticmethod
    def write(folder: Path, samples: Sequence[dict[str, object]]) -> list[str]:
        folder.mkdir()
        with ShardWriter(str(folder / "%03d.tar"), maxcount=4, verbose=0) as writer:
            for number, sample in enumerate(samples):
                writer.write({"__key__": f"clips/{number % 4}", **sample})
        return [str(path) for path in sorted(folder.glob("*.tar"))]

    @pytest.mark.parametrize("kind", ["cls", "txt", "json"])
    def test_labels_of_each_kind(
        self,
        videos: list[tuple[bytes, str]],
        tmp_path: Path,
        kind: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.write(
            tmp_path / "shards",
            [
                {"mp4": data, kind: {"label": label, "fps": 12} if kind == "json" else label}
                for data, label in videos
            ],
        )
        out = tmp_path / "new" / "train.csv"
        urls = f"{tmp_path}/shards/{{000..001}}.tar"
        assert run_here(ROOT / "scripts" / "index_shards.py", out, urls) == 0
        assert "6 samples in 2 shards" in capsys.readouterr().out
        labels = [label for _, label in videos]
        # Keys may stand in several shards.
        names = [f"00{n // 4}.tar/clips/{n % 4}.mp4" for n in range(6)]
        assert read_manifest(out) == list(zip(names, labels, strict=True))
        manifest = Manifest(out)
        for index, (data, _) in enumerate(videos):
            member = manifest[index].file
            assert isinstance(member, ShardMember)
            assert member.read().data == data

    def test_behind_a_url_with_pictures_and_without_labels(
        self, videos: list[tuple[bytes, str]], tmp_path: Path
    ) -> None:
        self.write(tmp_path / "shards", [{"mp4": data, "jpg": b"preview"} for data, _ in videos])
        out = tmp_path / "all.csv"
        with serve(tmp_path / "shards") as server:
            assert index_shards([f"{server.url}/000.tar", f"{server.url}/001.tar"], out) == 6
            member = Manifest(out)[5].file
            assert isinstance(member, ShardMember)
            assert member.read().data == videos[5][0]
        assert str(member) == f"{server.url}/001.tar/clips/1.mp4"

    def test_a_gif_is_the_video_where_there_is_no_other(
        self, videos: list[tuple[bytes, str]], tmp_path: Path
    ) -> None:
        """Beside a video it shows what is in it."""
        data = videos[0][0]
        samples: list[dict[str, object]] = [
            {"mp4": data, "gif": b"preview"},
            {"gif": b"animation", "jpg": b"preview"},
        ]
        urls = self.write(tmp_path / "shards", samples)
        index_shards(urls, tmp_path / "all.csv")
        manifest = Manifest(tmp_path / "all.csv")
        assert manifest.paths == ["000.tar/clips/0.mp4", "000.tar/clips/1.gif"]

    def test_shards_beside_their_manifest_move_with_it(
        self, videos: list[tuple[bytes, str]], tmp_path: Path
    ) -> None:
        urls = self.write(tmp_path / "shards", [{"mp4": data} for data, _ in videos])
        index_shards(urls, tmp_path / "shards" / "all.csv")
        (tmp_path / "shards").rename(tmp_path / "moved")
        Manifest(tmp_path / "moved" / "all.csv").check_files()

    def test_a_forgotten_manifest_costs_no_shard(
        self, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shards = [shutil.copy(packed.parent / f"00000{n}.tar", tmp_path) for n in range(2)]
        before = [Path(shard).read_bytes() for shard in shards]
        assert run_here(ROOT / "scripts" / "index_shards.py", *shards) == 2
        told = "000000.tar: wanted the manifest to write, NAME.csv, before the shards"
        assert told in capsys.readouterr().err
        assert [Path(shard).read_bytes() for shard in shards] == before

    def test_samples_that_cannot_be_used(
        self, videos: list[tuple[bytes, str]], tmp_path: Path
    ) -> None:
        (data, label), out = videos[0], tmp_path / "out.csv"
        urls = self.write(tmp_path / "two", [{"left.mp4": data, "right.mp4": data}])
        told = r"two/000\.tar/clips/0: wanted one video or image, found 2 among left\.mp4, right"
        with pytest.raises(UserError, match=told):
            index_shards(urls, out)
        urls = self.write(tmp_path / "some", [{"mp4": data, "cls": label}, {"mp4": data}])
        with pytest.raises(UserError, match=r"some/000\.tar/clips/1\.mp4: has no label, and other"):
            index_shards(urls, out)
        with tarfile.open(tmp_path / "empty.tar", "w"):
            pass
        with pytest.raises(UserError, match=r"empty\.tar: has no samples"):
            index_shards([str(tmp_path / "empty.tar")], out)
        assert not out.exists()

    @pytest.mark.parametrize("num_bytes", [0, 700, 6000, 7168])
    def test_shards_that_are_cut_off(self, packed: Path, tmp_path: Path, num_bytes: int) -> None:
        """Empty, in a header, in a video, and where the first sample ends."""
        broken = tmp_path / "broken.tar"
        broken.write_bytes((packed.parent / "000000.tar").read_bytes()[:num_bytes])
        with pytest.raises(UserError, match=r"broken\.tar: is no shard that can be read \(.+\)"):
            index_shards([str(broken)], tmp_path / "out.csv")


def test_shards_that_are_missing_or_cut_off_are_told_before_a_run(
    packed: Path, server: RangeServer, tmp_path: Path
) -> None:
    shutil.copytree(packed.parent, tmp_path / "shards")
    manifest = tmp_path / "shards" / MANIFEST_FILE
    shard = tmp_path / "shards" / "000002.tar"
    cut_off(shard, shard, 0.5)
    with pytest.raises(
        ManifestError, match=r"line 16: .*/000002\.tar: is cut off: \d+ bytes of at least \d+$"
    ):
        Manifest(manifest).check_files()
    shard.unlink()
    (tmp_path / "shards" / "000004.tar").unlink()
    told = r"csv, line 16: .*/shards/000002\.tar: no such shard \(and 1 more shards\)"
    with pytest.raises(ManifestError, match=told):
        Manifest(manifest).check_files()
    with pytest.raises(ManifestError, match=r"line 2: http.*/x/000000\.tar: no such shard"):
        Manifest(name_by_url(packed, tmp_path / "m.csv", f"{server.url}/x")).check_files()
    with pytest.raises(ManifestError, match=r"cannot be opened \(protocol not known: carrier\)"):
        Manifest(name_by_url(packed, tmp_path / "m.csv", "carrier://pigeon")).check_files()


class TestReading:
    """What may go wrong once a run has begun: a reason, and the member's name."""

    @pytest.fixture
    def member(self, packed: Path, server: RangeServer, tmp_path: Path) -> ShardMember:
        member = Manifest(name_by_url(packed, tmp_path / "m.csv", server.url))[3].file
        assert isinstance(member, ShardMember)
        return member

    @staticmethod
    def refusal(member: ShardMember) -> str:
        with pytest.raises(VideoError) as caught:
            member.read()
        assert caught.value.path == f"{member.shard}/{member.name}"
        return caught.value.reason

    def test_a_shard_that_changed(self, packed: Path, tmp_path: Path) -> None:
        member = Manifest(packed)[3].file
        assert isinstance(member, ShardMember)
        shard = str(tmp_path / "other.tar")
        changed = ShardMember(shard, member.name, member.offset_bytes, member.size_bytes)
        assert self.refusal(changed) == "no such shard"
        cut_off(packed.parent / "000000.tar", Path(shard), 0.4)
        assert "the shard is cut off: " in self.refusal(changed)
        wrong = "the shard has something else there than the manifest says"
        shutil.copy(packed.parent / "000001.tar", shard)  # its videos are as long
        assert self.refusal(changed) == wrong
        Path(shard).write_bytes(bytes(100_000))
        assert self.refusal(changed) == wrong

    def test_a_network_that_fails_for_a_moment(
        self, member: ShardMember, server: RangeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("hiera_video.decoding.source._PAUSE_SECONDS", 0.01)
        server.num_failures = 2
        data = member.read().data
        assert data[4:8] == b"ftyp"
        server.num_failures = 3
        assert self.refusal(member).startswith("503, message='Service Unavailable'")

    def test_a_server_without_ranges(self, member: ShardMember, server: RangeServer) -> None:
        server.gives_ranges = False
        told = "the server sends more than the part of the shard it was asked for"
        assert self.refusal(member) == told


def test_videos_that_cannot_be_read_are_named_by_shard_and_member(tmp_path: Path) -> None:
    """With the reasons that files have."""
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is a text\n" * 100)
    webm = write_video(tmp_path / "whole.webm", codec="libvpx-vp9")
    cut_off(webm, tmp_path / "short.webm", 0.9)
    Image.new("RGB", (8, 8)).save(tmp_path / "whole.png")
    cut_off(tmp_path / "whole.png", tmp_path / "short.png", 0.5)
    names = ["empty.mp4", "text.mp4", "short.webm", "short.png"]
    files = write_manifest(tmp_path / "files.csv", [(name, "x") for name in names])
    make_shards(files, tmp_path / "shards", ShardLayout(10**9, 9))
    for index, name in enumerate(names):
        reasons = []
        for manifest in (files, tmp_path / "shards" / MANIFEST_FILE):
            clips = TrainClips(
                Manifest(manifest),
                ClipSettings(**TINY_CLIP),
                AugmentSettings(),
                DecodingOptions(),
                0,
                1,
            )
            (failure,) = clips[0, index].failures
            reasons.append(failure.reason)
        assert failure.path == f"{tmp_path}/shards/000000.tar/{index:08d}{Path(name).suffix}"
        assert reasons[0] == reasons[1]


def test_manifests_that_are_wrong(tmp_path: Path) -> None:
    def write(header: str, *row: str) -> Path:
        return write_manifest(tmp_path / "m.csv", [row], header)

    with pytest.raises(ManifestError, match=r"wanted columns shard,.*; offset_bytes is missing"):
        Manifest(write("path,label,shard,member", "a", "x", "0.tar", "a.mp4"))
    with pytest.raises(ManifestError, match="line 2: has no size_bytes"):
        Manifest(write(COLUMNS, "a", "x", "0.tar", "a.mp4", "0", ""))
    with pytest.raises(ManifestError, match="line 2: has no shard"):
        Manifest(write(COLUMNS, "a", "x", "", "a.mp4", "0", "1"))
