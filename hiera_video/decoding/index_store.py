"""A folder that stores video indexes, so that no file is counted, or a long one scanned, twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from hiera_video.decoding.source import FileBytes, Source
from hiera_video.decoding.stream_facts import StreamFacts
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.files import atomic_path

#: Version of the files' format.
_VERSION = 1
#: A packet-based index with fewer frames is read from its video faster than it is stored.
_MIN_FRAMES = 10_000
_ARRAY_FIELDS = (
    "frame_ids",
    "timestamps",
    "keyframes",
    "keyframe_ids",
    "keyframe_packets",
    "seek_targets",
    "checksums",
)


class IndexStore:
    """A folder with one file for each index worth storing.

    An index belongs to a file's path, size and modification time, and to a version of PyAV; if any
    of these changes, the index is made anew. Several processes may use one folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, source: Source) -> VideoIndex | None:
        """The stored index of a file; None if there is none, or if it is damaged."""
        try:
            with np.load(self._path(source), allow_pickle=False) as arrays:
                fields = json.loads(str(arrays["facts"]))
                for name in _ARRAY_FIELDS:
                    fields[name] = tuple(arrays[name].tolist())
            return _from_fields(fields)
        except Exception:  # zip, numpy and JSON raise many types; the index is made anew
            return None

    def save(self, source: Source, index: VideoIndex) -> None:
        """Store an index. If the folder cannot be written to, or the disk is full, do nothing."""
        if not index.is_counted and index.num_frames < _MIN_FRAMES:
            return
        fields = {name: value for name, value in asdict(index).items() if name not in _ARRAY_FIELDS}
        arrays: dict[str, Any] = {
            name: np.array(getattr(index, name), np.int64) for name in _ARRAY_FIELDS
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self._path(source), durable=False) as path:
                np.savez_compressed(path, facts=json.dumps(fields, default=str), **arrays)
        except OSError:
            return

    def _path(self, source: Source) -> Path:
        if isinstance(source, FileBytes):
            identity: list[str | int] = ["bytes", hashlib.blake2b(source.data).hexdigest()]
        else:
            status = source.stat()
            identity = [str(source.absolute()), status.st_size, status.st_mtime_ns]
        key = json.dumps([_VERSION, av.__version__, *identity])
        return self._folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.npz"


def _from_fields(fields: dict[str, Any]) -> VideoIndex:
    stream = StreamFacts(**fields.pop("facts"))
    stream = replace(stream, pixel_aspect_ratio=Fraction(stream.pixel_aspect_ratio))
    for name in ("time_base", "frames_per_second"):
        fields[name] = Fraction(fields[name])
    return VideoIndex(facts=stream, **fields)
