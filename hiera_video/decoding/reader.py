"""An open video: which frames it has, and what they show.

Frame i is the i-th that the decoder gives, reading the file from its start, whatever is inside and
whatever decodes it. The container's index is read with PyAV first, so that a damaged file is
refused alike, with a reason, before a decoder can hang on it. The same numbers give bit-identical
frames.

Axes: T frames, C channels (RGB), H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import torch
from av import VideoFrame
from torch import Tensor

from hiera_video.decoding.counted_index import count_frames
from hiera_video.decoding.decoder import FrameDecoder
from hiera_video.decoding.decoders import DECODERS
from hiera_video.decoding.index_store import IndexStore
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.orientation import Orientation
from hiera_video.decoding.packet_index import (
    MP4,
    Packets,
    check_whole,
    index_packets,
    read_packets,
)
from hiera_video.decoding.packet_source import PacketSource
from hiera_video.decoding.pyav_decoder import PyAVDecoder
from hiera_video.decoding.source import Source
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import ConfigError, UserError, VideoError


class IndexDisprovedError(Exception):
    """Decoding showed other frames than the packets promised. The reader has counted them by now:
    its index is another one, by which whoever chose frames has to choose again."""


class VideoReader:
    """An open video. A context manager; readers must not cross a fork.

    ``index`` says which frames there are. ``fallback``: why PyAV reads the file instead of another
    decoder that was asked for, if it does.

    Raises:
        VideoError: when opened, if the file is missing, is no video, or is cut off.
    """

    def __init__(self, source: Source, options: DecodingOptions | None = None) -> None:
        self.source = source
        self.fallback: str | None = None
        self._options = options or DecodingOptions()
        self._limit = TimeLimit(self._options.timeout_seconds)
        self._packets = PacketSource(source, self._limit)
        self._decoder: FrameDecoder | None = None
        folder = self._options.index_dir
        self._store = IndexStore(folder) if folder else None
        try:
            with self._guarded():
                self._find_index()
                self._choose_decoder()
        except BaseException:
            self.close()
            raise

    def _find_index(self) -> None:
        kept = self._store.load(self.source) if self._store else None
        if kept:
            self.index = kept
            return
        container, stream = self._packets.open()
        packets = read_packets(container, stream, self._limit)
        check_whole(self.source, container, stream, packets)
        index = index_packets(str(self.source), container, stream, packets)
        self._use(self._count(index, packets) if isinstance(index, str) else index)

    def _count(self, why: str, packets: Packets | None = None) -> VideoIndex:
        """The index by decoding the whole file."""
        if packets is None:
            packets = read_packets(*self._packets.open(), self._limit)
        container, stream = self._packets.open()
        index = count_frames(str(self.source), container, stream, packets, why, self._limit)
        if index.num_frames == 1 and index.facts.container.endswith("_pipe"):
            raise ValueError("the file is a picture, not a video")
        return index

    def _use(self, index: VideoIndex) -> None:
        self.index = index
        if self._store:
            self._store.save(self.source, index)

    def _choose_decoder(self) -> None:
        """Use the decoder that was asked for, or PyAV where that one would give other frames."""
        name = self._options.decoder
        try:
            self.fallback = self._why_not(DECODERS[name])
            self._decoder = self._start("pyav" if self.fallback else name)
        except (ConfigError, VideoError):
            raise
        except Exception as error:  # of each kind, from whatever a decoder is made of
            if name == "pyav":
                raise
            self.fallback = self._reason(error)
            self._decoder = self._start("pyav")

    def _start(self, name: str) -> FrameDecoder:
        if name != "pyav":
            self._packets.close()
        ratio = self.index.facts.pixel_aspect_ratio if self._options.square_pixels else Fraction(1)
        return DECODERS[name](self.source, self.index, self._packets, self._limit, ratio)

    def _why_not(self, kind: type[FrameDecoder]) -> str | None:
        """Why a decoder would give other frames, or other colours, if it would."""
        if kind.name == "pyav":
            return None
        index = self.index
        reason = index.why_counted or kind.misplaced(index)
        if not reason and not index.facts.is_plain:
            reason = "more than 8 bits, or of odd height"
        if not reason and self._options.square_pixels and index.facts.pixel_aspect_ratio != 1:
            reason = "pixels that are not square"
        if not reason:
            reason = self._look_at_a_keyframe()
        return reason and f"{kind.name} misplaces frames of {reason}"

    def _look_at_a_keyframe(self) -> str | None:
        """What a file is that other decoders read otherwise, as can be told from one picture."""
        try:
            # The first keyframe is one whatever its flag says; those that follow may not be.
            frame = self.stored_frame(self.index.keyframes[:2][-1])
        except VideoError:
            return "a damaged file"
        if Orientation.of(frame).mirrors:
            return "mirrored pictures"
        if frame.interlaced_frame:
            return "interlaced pictures"
        # FFmpeg looks into packets of some codecs, and may know better than the flags of MP4.
        entries = self._packets.stream.index_entries if self.index.facts.container == MP4 else ()
        flagged = tuple(number for number, entry in enumerate(entries) if entry.is_keyframe)
        is_flagged = not entries or flagged == self.index.keyframe_packets
        return None if frame.key_frame and is_flagged else "keyframes that are none"

    def stored_frame(self, number: int) -> VideoFrame:
        """A frame as PyAV gives it: as it is stored, with what is said of its rotation.

        Raises:
            VideoError: if it cannot be decoded.
        """
        with self._guarded():
            return PyAVDecoder(self.source, self.index, self._packets, self._limit).frame(number)

    def frames(self, numbers: Sequence[int]) -> Tensor:
        """The frames ``numbers`` (any order, repetition allowed): uint8 ``(T, C, H, W)``.

        Each frame is decoded once. The tensor is a view of frames stored as ``(T, H, W, C)``.

        Raises:
            VideoError: if a frame cannot be decoded, or is not there.
        """
        wanted = sorted(set(numbers))
        try:
            images = self._stack(wanted)
        except IndexDisprovedError:
            if wanted[-1] >= self.index.num_frames:
                reason = f"its packets promised more frames than the {self.index.num_frames} it has"
                raise VideoError(str(self.source), reason) from None
            images = self._stack(wanted)
        if list(numbers) != wanted:
            positions = {number: position for position, number in enumerate(wanted)}
            images = images[[positions[number] for number in numbers]]
        return torch.from_numpy(images).permute(0, 3, 1, 2)

    def _stack(self, wanted: Sequence[int]) -> np.ndarray:
        images = np.empty(0)
        for position, image in enumerate(self._images(wanted)):
            if position == 0:
                images = np.empty((len(wanted), *image.shape), np.uint8)
            images[position] = image
        return images

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        """The frames at strictly ascending ``wanted`` numbers, one by one: uint8 ``(C, H, W)``.

        For more frames than memory holds: those given out are not kept.

        Raises:
            VideoError: if a frame cannot be decoded.
            IndexDisprovedError: if frames are not what packets promised; ``index`` has changed.
        """
        for image in self._images(wanted):
            yield torch.from_numpy(image).permute(2, 0, 1)

    def _images(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames ``wanted``, ``(H, W, C)`` each, all of one size and none left out."""
        ascending = all(before < after for before, after in pairwise(wanted))
        if not ascending or not wanted or wanted[0] < 0 or wanted[-1] >= self.index.num_frames:
            raise IndexError(f"frames {wanted} of {self.index.num_frames}")
        decoded = self._decode(wanted)
        size: tuple[int, ...] = ()
        for number in wanted:
            with self._guarded():
                try:
                    image = next(decoded, None)
                except av.InvalidDataError:
                    raise self._damaged(number, self.index) from None
                if image is None:
                    raise self._not_decoded(number)
                size = size or image.shape
                if image.shape != size:
                    raise ValueError(
                        f"frame size changes from {size[1]}x{size[0]} to "
                        f"{image.shape[1]}x{image.shape[0]}"
                    )
            yield image

    def _decode(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """The frames ``wanted``; PyAV goes on where another decoder cannot."""
        assert self._decoder is not None
        if self._decoder.name == "pyav":
            yield from self._decoder.decode(wanted)
            return
        num_decoded = 0
        try:
            for image in self._decoder.decode(wanted):
                yield image
                num_decoded += 1
        except Exception as error:  # of each kind, from whatever a decoder is made of
            self.fallback = self._reason(error)
        if num_decoded < len(wanted):
            self.fallback = self.fallback or f"{self._decoder.name} gives too few frames"
            self._decoder.close()
            self._decoder = self._start("pyav")
            yield from self._decoder.decode(wanted[num_decoded:])

    def _not_decoded(self, number: int) -> Exception:
        """Why a frame did not come: the file is damaged, or its packets are not its frames."""
        before = self.index
        if not before.is_counted:
            counted = self._count(f"{before.facts.codec} whose packets are not its pictures")
            if not counted.num_damaged and counted.timestamps != before.timestamps:
                self._use(counted)
                self._choose_decoder()
                return IndexDisprovedError(f"{self.source}: {counted.why_counted}")
        return self._damaged(number, before)

    @staticmethod
    def _damaged(number: int, index: VideoIndex) -> ValueError:
        return ValueError(
            f"frame {number} of {index.num_frames} cannot be decoded "
            "(the file is damaged or cut off)"
        )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Limit the time, and say of any failure which file it is about."""
        self._limit.start()
        try:
            yield
        except (UserError, IndexDisprovedError):
            raise
        except Exception as error:  # of each kind, from whatever is inside a file
            raise VideoError(str(self.source), self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        """One line that says what is wrong, without the path, which messages name already."""
        if isinstance(error, av.ExitError):  # FFmpeg was waiting for the file
            return self._limit.reason
        if isinstance(error, EOFError):
            return "the file is cut off (end of file)"
        if isinstance(error, OSError | av.FFmpegError) and error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
        text = str(error).replace(str(self.source), "").strip(" :'\n")
        return text.partition("\n")[0] or type(error).__name__

    def close(self) -> None:
        """Give file handles back."""
        if self._decoder is not None:
            self._decoder.close()
        self._packets.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
