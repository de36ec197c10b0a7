"""An open video: its index, and its frames by their numbers.

Frame i is the i-th frame that a decoder returns when it reads the file from its start, whatever the
file's format and whichever decoder reads it. PyAV reads the container's index first, so that a
damaged file is refused with the same reason for every decoder, before a decoder can hang on it. The
same numbers give bit-identical frames.

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
from hiera_video.decoding.packet_index import Packets, check_whole, index_packets, read_packets
from hiera_video.decoding.packet_source import PacketSource
from hiera_video.decoding.pyav_decoder import PyAVDecoder
from hiera_video.decoding.source import Source
from hiera_video.decoding.stream_facts import MP4
from hiera_video.decoding.time_limit import TimeLimit
from hiera_video.decoding.video_index import VideoIndex
from hiera_video.errors import ConfigError, UserError, VideoError


class IndexDisprovedError(Exception):
    """Decoding returned other frames than the packets promised.

    By the time this is raised, the reader has counted the frames by decoding and replaced its
    index: callers that chose frame numbers by the old index must choose again.
    """


class VideoReader:
    """An open video. A context manager; readers must not cross a fork.

    ``index`` lists the frames. ``fallback``: why PyAV reads the file although another decoder was
    requested; None if it does not.

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
        """Load the index from the store; else make it from packets, or by counting frames."""
        stored = self._store.load(self.source) if self._store else None
        if stored:
            self.index = stored
            return
        container, stream = self._packets.open()
        packets = read_packets(container, stream, self._limit)
        check_whole(self.source, container, stream, packets)
        index = index_packets(str(self.source), container, stream, packets)
        self._use(self._count(index, packets) if isinstance(index, str) else index)

    def _count(self, reason: str, packets: Packets | None = None) -> VideoIndex:
        """The index made by decoding the whole file; ``reason``: why packets are not trusted."""
        if packets is None:
            packets = read_packets(*self._packets.open(), self._limit)
        opened = self._packets.open()
        index = count_frames(str(self.source), opened, packets, reason, self._limit)
        if index.num_frames == 1 and index.facts.container.endswith("_pipe"):
            raise ValueError("the file is a picture, not a video")
        return index

    def _use(self, index: VideoIndex) -> None:
        self.index = index
        if self._store:
            self._store.save(self.source, index)

    def _choose_decoder(self) -> None:
        """Start the requested decoder, or PyAV where the other would return other frames."""
        name = self._options.decoder
        try:
            self.fallback = self._reason_for_pyav(DECODERS[name])
            self._decoder = self._start("pyav" if self.fallback else name)
        except (ConfigError, VideoError):
            raise
        except Exception as error:  # decoders raise exceptions of many types
            if name == "pyav":
                raise
            self.fallback = self._reason(error)
            self._decoder = self._start("pyav")

    def _start(self, name: str) -> FrameDecoder:
        if name == "pyav":
            square = self._options.square_pixels
            width_scale = self.index.facts.pixel_aspect_ratio if square else Fraction(1)
            return PyAVDecoder(self.source, self.index, self._limit, self._packets, width_scale)
        self._packets.close()
        return DECODERS[name](self.source, self.index, self._limit)

    def _reason_for_pyav(self, kind: type[FrameDecoder]) -> str | None:
        """Why a decoder would return other frames or colours than PyAV; None if it would not."""
        if kind.name == "pyav":
            return None
        index = self.index
        reason = index.why_counted or kind.misplaced(index)
        if not reason and not index.facts.is_plain:
            reason = "more than 8 bits, or of odd height"
        if not reason and self._options.square_pixels and index.facts.pixel_aspect_ratio != 1:
            reason = "pixels that are not square"
        if not reason:
            reason = self._oddity_of_a_keyframe()
        return reason and f"{kind.name} misplaces frames of {reason}"

    def _oddity_of_a_keyframe(self) -> str | None:
        """The property of one decoded keyframe, if any, that makes other decoders return other
        frames than PyAV."""
        try:
            # The first keyframe is one whatever its flag says; those that follow may not be.
            frame = self.stored_frame(self.index.keyframes[:2][-1])
        except VideoError:
            return "a damaged file"
        if Orientation.of(frame).mirrors:
            return "mirrored pictures"
        if frame.interlaced_frame:
            return "interlaced pictures"
        # FFmpeg parses packets of some codecs and may know better than the flags of MP4.
        entries = self._packets.stream.index_entries if self.index.facts.container == MP4 else ()
        flagged = tuple(number for number, entry in enumerate(entries) if entry.is_keyframe)
        is_flagged = not entries or flagged == self.index.keyframe_packets
        return None if frame.key_frame and is_flagged else "a file with wrong keyframe flags"

    def stored_frame(self, number: int) -> VideoFrame:
        """A frame as stored: in FFmpeg's pixel format, not turned, with its rotation as metadata.

        Raises:
            VideoError: if it cannot be decoded.
        """
        with self._guarded():
            return PyAVDecoder(self.source, self.index, self._limit, self._packets).frame(number)

    def frames(self, numbers: Sequence[int]) -> Tensor:
        """The frames ``numbers`` (any order, repetition allowed): uint8 ``(T, C, H, W)``.

        Each frame is decoded once. The tensor is a view of frames stored as ``(T, H, W, C)``.

        Raises:
            VideoError: if a frame cannot be decoded, or does not exist.
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
        """``(T, H, W, C)``."""
        images = np.empty(0)
        for position, image in enumerate(self._images(wanted)):
            if position == 0:
                images = np.empty((len(wanted), *image.shape), np.uint8)
            images[position] = image
        return images

    def stream(self, wanted: Sequence[int]) -> Iterator[Tensor]:
        """The frames at strictly ascending ``wanted`` numbers, one by one: uint8 ``(C, H, W)``, all
        of one size.

        For more frames than fit into memory: none is kept after it was yielded.

        Raises:
            VideoError: if a frame cannot be decoded.
            IndexDisprovedError: if frames are not what packets promised; ``index`` has changed.
        """
        return map(_to_tensor, self._images(wanted))

    def _images(self, wanted: Sequence[int]) -> Iterator[np.ndarray]:
        """:meth:`stream`, as arrays ``(H, W, C)``."""
        assert self._decoder is not None
        ascending = all(before < after for before, after in pairwise(wanted))
        if not ascending or not wanted or wanted[0] < 0 or wanted[-1] >= self.index.num_frames:
            raise IndexError(f"frames {wanted} of {self.index.num_frames}")
        images = self._decoder.decode(wanted)
        size: tuple[int, ...] = ()
        for position, number in enumerate(wanted):
            with self._guarded():
                image = self._next_image(images, number)
                if image is None:
                    self._decoder.close()
                    self._decoder = self._start("pyav")
                    images = self._decoder.decode(wanted[position:])
                    image = self._next_image(images, number)
                assert image is not None
                size = size or image.shape
                if image.shape != size:
                    raise ValueError(
                        f"frame size changes from {size[1]}x{size[0]} to "
                        f"{image.shape[1]}x{image.shape[0]}"
                    )
            yield image

    def _next_image(self, images: Iterator[np.ndarray], number: int) -> np.ndarray | None:
        """Frame ``number``, the next of ``images``; None where a decoder other than PyAV fails,
        whose reason becomes ``fallback``."""
        name = self._decoder.name if self._decoder else ""
        try:
            image = next(images, None)
        except Exception as error:  # decoders raise exceptions of many types
            if name != "pyav":
                self.fallback = self._reason(error)
                return None
            if isinstance(error, av.InvalidDataError):
                raise self._damaged(number, self.index) from None
            raise
        if image is None and name != "pyav":
            self.fallback = f"{name} gives too few frames"
        elif image is None:
            raise self._not_decoded(number)
        return image

    def _not_decoded(self, number: int) -> Exception:
        """The error for a frame that did not come: the file is damaged, or its packets are not its
        frames."""
        before = self.index
        if not before.is_counted:
            counted = self._count(f"{before.facts.codec} whose packets do not match its frames")
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
        """Limit the time, and turn any failure into an error that names the file."""
        self._limit.start()
        try:
            yield
        except (UserError, IndexDisprovedError):
            raise
        except Exception as error:  # damaged files raise exceptions of many types
            raise VideoError(str(self.source), self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        """The reason in one line, without the path, which messages name already."""
        if isinstance(error, av.ExitError):  # FFmpeg was waiting for the file
            return self._limit.reason
        if isinstance(error, EOFError):
            return "the file is cut off (end of file)"
        if isinstance(error, OSError | av.FFmpegError) and error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
        text = str(error).replace(str(self.source), "").strip(" :'\n")
        return text.partition("\n")[0] or type(error).__name__

    def close(self) -> None:
        """Close open files."""
        if self._decoder is not None:
            self._decoder.close()
        self._packets.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _to_tensor(image: np.ndarray) -> Tensor:
    """``(H, W, C)`` -> ``(C, H, W)``."""
    return torch.from_numpy(image).permute(2, 0, 1)
