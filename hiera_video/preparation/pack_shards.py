"""From videos in files to tar shards, and from tar shards to a manifest of them.

``webdataset`` writes the shards, and its rules group files into samples, so that programs that
stream the shards with ``webdataset`` see the same samples.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import fsspec
from webdataset import TarWriter

from hiera_video import compat
from hiera_video.data.class_list import CLASSES_FILE, write_classes
from hiera_video.data.file_search import VIDEO_SUFFIXES
from hiera_video.data.label_sets import WrittenLabels
from hiera_video.data.manifest import (
    Manifest,
    Row,
    has_labels,
    written_paths,
)
from hiera_video.data.shards import SHARD_COLUMNS
from hiera_video.decoding.pictures import state_of
from hiera_video.decoding.source import IMAGE_SUFFIXES
from hiera_video.errors import UserError, reason_of
from hiera_video.files import (
    atomic_path,
    check_not_replaced,
    make_output_directory,
    reading,
    write_csv,
)
from hiera_video.labels import normalize_label
from hiera_video.preparation.picture_folders import pack_pictures

MANIFEST_FILE = "manifest.csv"

#: Suffixes of the files that describe the video of a sample.
_DESCRIPTIONS = ("json", "cls", "txt")

#: Wraps a sequence in an iterable that shows the progress of a loop.
ProgressBar: TypeAlias = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Sample:
    """A row of a manifest of shards; the fields are its columns."""

    path: str
    label: str | None
    start_seconds: float | None
    end_seconds: float | None
    shard: str
    member: str
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class ShardLayout:
    """How large shards may be, and the URL of the folder that they will be in."""

    max_bytes: int
    max_videos: int
    url: str | None = None


def make_shards(
    path: Path,
    output_dir: Path,
    layout: ShardLayout,
    *,
    root: Path | None = None,
    progress: ProgressBar = iter,
) -> tuple[int, int]:
    """Write the videos of a manifest as shards, with a manifest of them, and ``classes.txt``.

    Rows keep their order, paths and labels. Shards that exist already are kept. The manifest names
    shards below ``layout.url``, or without it as files beside the manifest.

    Returns:
        The number of videos, and the number of shards.

    Raises:
        UserError: if a file is missing, ``output_dir`` has shards of other videos, or the manifest
            of the shards would replace the manifest at ``path``.
    """
    output = output_dir / MANIFEST_FILE
    check_not_replaced([path], output)
    labels = WrittenLabels() if has_labels(path) else None
    manifest = Manifest(path, targets=labels, root=root)
    classes = labels.classes if labels else []
    files = [manifest[index].local_file for index in range(len(manifest))]
    manifest.check_files()
    sizes = [state_of(file)[0] for file in files]
    plan = plan_shards(sizes, layout.max_bytes, layout.max_videos)
    shards = [f"{number:06d}.tar" for number in range(len(plan))]
    make_output_directory(output_dir)
    for other in sorted(output_dir.glob("*.tar")):
        if other.name not in shards:
            raise _other_shard(other, path)
    for shard, rows in progress(list(zip(shards, plan, strict=True))):
        if not (output_dir / shard).exists():
            write_shard(output_dir / shard, manifest, rows)
    samples = []
    for shard, rows in zip(shards, plan, strict=True):
        name = shard if layout.url is None else f"{layout.url.rstrip('/')}/{shard}"
        in_shard = list(read_shard(str(output_dir / shard), name))
        described = [(s.path, s.label, s.start_seconds, s.end_seconds) for s in in_shard]
        if described != [tuple(_describe(manifest[row]).values()) for row in rows]:
            raise _other_shard(output_dir / shard, path)
        samples += in_shard
    if classes:
        write_classes(output_dir / CLASSES_FILE, classes)
    write_samples(output, samples)
    return len(samples), len(shards)


def _other_shard(shard: Path, manifest: Path) -> UserError:
    return UserError(
        f"{shard}: holds other videos than {manifest} and these sizes of shards put there; remove "
        "it, or choose another folder"
    )


def plan_shards(sizes: Sequence[int], max_bytes: int, max_videos: int) -> list[range]:
    """The rows of each shard: as many as fit, in order; a video that is too large gets its own."""
    plan: list[range] = []
    begin, filled = 0, 0
    for row, size in enumerate(sizes):
        if row > begin and (filled + size > max_bytes or row - begin == max_videos):
            plan.append(range(begin, row))
            begin, filled = row, 0
        filled += size
    return [*plan, range(begin, len(sizes))]


def write_shard(shard: Path, manifest: Manifest, rows: Iterable[int]) -> None:
    """Write unchanged files, and folders of pictures as archives, each with the data of its row as
    JSON; the same bytes each time."""
    with (
        atomic_path(shard) as temporary,
        temporary.open("wb") as file,
        TarWriter(file, encoder=False, mtime=0, format="PAX_FORMAT") as tar,
    ):
        for index in rows:
            row = manifest[index]
            kind, data = _content(row.local_file)
            tar.write(
                {
                    "__key__": f"{index:08d}",
                    kind: data,
                    "json": json.dumps(_describe(row)).encode(),
                }
            )


def _content(path: Path) -> tuple[str, bytes]:
    """The suffix and the bytes of a file; a folder of pictures becomes a tar archive of them."""
    with reading(path):
        if path.is_dir():
            return "tar", pack_pictures(path)
        return path.suffix.removeprefix(".") or "video", path.read_bytes()


def _describe(row: Row) -> dict[str, Any]:
    return {
        "path": row.path,
        "label": row.targets.get("written"),
        "start_seconds": row.start_seconds or None,
        "end_seconds": row.end_seconds,
    }


def index_shards(shards: Sequence[str], manifest: Path, progress: ProgressBar = iter) -> int:
    """Write a manifest of existing shards; returns the number of samples.

    A label is ``label`` in a sample's ``.json``, or else the text of its ``.cls`` or ``.txt``.

    Raises:
        UserError: if ``manifest`` is not called NAME.csv, a shard cannot be read, or a sample does
            not have exactly one video or image.
    """
    if manifest.suffix != ".csv":  # a shard, perhaps, and the manifest was forgotten
        raise UserError(f"{manifest}: wanted the manifest to write, NAME.csv, before the shards")
    make_output_directory(manifest.parent)
    samples: list[Sample] = []
    for shard in progress(shards):
        name = shard
        if "://" not in shard:
            (name,) = written_paths([shard], manifest.parent)
        samples += read_shard(shard, name)
    if not samples:
        raise UserError(f"{shards[0]}: has no samples")
    unlabelled = [sample for sample in samples if sample.label is None]
    if 0 < len(unlabelled) < len(samples):
        first = unlabelled[0]
        raise UserError(f"{first.shard}/{first.member}: has no label, and others have")
    write_samples(manifest, samples)
    return len(samples)


def read_shard(url: str, name: str) -> Iterator[Sample]:
    """The samples of the shard at ``url``, from one pass over it; ``name`` is for the manifest.

    Raises:
        UserError: if it cannot be read, or a sample does not have exactly one video or image.
    """
    try:
        with fsspec.open(url, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            files = (
                {"fname": info.name, "data": info, "__url__": url} for info in tar if info.isfile()
            )
            for sample in compat.group_samples(files):
                yield _read_sample(sample, tar, name)
            file.seek(compat.end_of_members(tar))
            if not file.read(1):  # an archive ends with zeros
                raise tarfile.ReadError("unexpected end of data")
    except UserError:
        raise
    except Exception as error:  # each storage library has exceptions of its own
        raise UserError(f"{url}: is no shard that can be read ({reason_of(error)})") from None


def _read_sample(sample: dict[str, Any], tar: tarfile.TarFile, shard: str) -> Sample:
    infos = {key: value for key, value in sample.items() if isinstance(value, tarfile.TarInfo)}

    def of_kind(suffixes: Collection[str]) -> list[tarfile.TarInfo]:
        return [info for info in infos.values() if Path(info.name).suffix.lower() in suffixes]

    others = [info for kind, info in infos.items() if kind not in _DESCRIPTIONS]
    # A .gif beside a video is its preview; alone, it is the video.
    videos = of_kind(VIDEO_SUFFIXES - {".gif"}) or of_kind([".gif"])
    videos = videos or of_kind(IMAGE_SUFFIXES) or others
    if len(videos) != 1:
        raise UserError(
            f"{sample['__url__']}/{sample['__key__']}: wanted one video or image, found "
            f"{len(videos)} among {', '.join(sorted(infos))}"
        )
    (video,) = videos

    def text(kind: str) -> str | None:
        file = tar.extractfile(infos[kind]) if kind in infos else None
        return file.read().decode().strip() if file else None

    metadata = json.loads(text("json") or "{}")
    metadata = metadata if isinstance(metadata, dict) else {}
    label = metadata.get("label")
    if label is None:
        label = text("cls") or text("txt")
    return Sample(
        path=metadata.get("path", f"{Path(shard).name}/{video.name}"),
        label=None if label is None else normalize_label(str(label)),
        start_seconds=metadata.get("start_seconds"),
        end_seconds=metadata.get("end_seconds"),
        shard=shard,
        member=video.name,
        offset_bytes=video.offset,
        size_bytes=video.offset_data + video.size - video.offset,
    )


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write a manifest of shards; columns of labels and seconds only if a sample has them."""
    columns = ["path"]
    for key in ("label", "start_seconds", "end_seconds"):
        if any(getattr(sample, key) is not None for sample in samples):
            columns.append(key)
    columns += SHARD_COLUMNS
    write_csv(path, columns, ([getattr(s, key) for key in columns] for s in samples))
