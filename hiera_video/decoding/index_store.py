"""Indexes of videos in a folder, so that no file is counted, or a long one read whole, twice."""

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
from hiera_video.decoding.video_index import StreamFacts, VideoIndex
from hiera_video.files import atomic_path

#: Of the format of these files.
_VERSION = 1
#: Indexes by packets of fewer frames are read again in less time than they are kept.
_MIN_FRAMES = 10_000
_ARRAYS = (
    "frame_ids",
    "timestamps",
    "keyframes",
    "keyframe_ids",
    "keyframe_packets",
    "seek_targets",
    "checksums",
)


class IndexStore:
    """A folder with an index file for each video that is worth it.

    An index is that of a file of one path, size and time of change, as one version of FFmpeg reads
    it; another file there is noticed, and its index made anew. Several processes may use a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, source: Source) -> VideoIndex | None:
        """The index of a file, if one is kept that is whole and belongs to it."""
        try:
            with np.load(self._path(source), allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                for name in _ARRAYS:
                    facts[name] = tuple(arrays[name].tolist())
            return _from_json(facts)
        except Exception:  # of each kind, from zip, numpy and JSON: it is made anew
            return None

    def save(self, source: Source, index: VideoIndex) -> None:
        """Keep an index. A folder that cannot be written to, or a full disk, keeps nothing."""
        if not index.is_counted and index.num_frames < _MIN_FRAMES:
            return
        facts = {name: value for name, value in asdict(index).items() if name not in _ARRAYS}
        arrays: dict[str, Any] = {
            name: np.array(getattr(index, name), np.int64) for name in _ARRAYS
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self._path(source), durable=False) as path:
                np.savez_compressed(path, facts=json.dumps(facts, default=str), **arrays)
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


def _from_json(facts: dict[str, Any]) -> VideoIndex:
    stream = StreamFacts(**facts.pop("facts"))
    stream = replace(stream, pixel_aspect_ratio=Fraction(stream.pixel_aspect_ratio))
    for name in ("time_base", "frames_per_second"):
        facts[name] = Fraction(facts[name])
    return VideoIndex(facts=stream, **facts)
