"""What crosses from data to models: clips that stay uint8 until they are on the device.

An image is a clip of one frame. Axes: B clips, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import default_collate

#: What a batch has one number of for each clip.
_NUMBERS = ("rows", "labels", "start_seconds", "end_seconds")


@dataclass(frozen=True)
class Failure:
    """A manifest row whose video could not be read."""

    row: int
    path: str
    reason: str


NoticeKind = Literal["read by pyav", "counted by decoding"]


@dataclass(frozen=True)
class Notice:
    """How the video of a manifest row was read, where users should know: by PyAV in the place of
    the decoder that was asked for, or after its frames were counted by decoding."""

    row: int
    path: str
    kind: NoticeKind
    reason: str


def model_input(clips: Tensor) -> Tensor:
    """``(B, C, T, H, W)`` as models take it: clips of one frame are images ``(B, C, H, W)``."""
    return clips.squeeze(2)


@dataclass
class ClipBatch:
    """Clips, where they come from, and what could not be read.

    ``pixel_values``: uint8 ``(B, C, T, H, W)``; ``rows``: manifest row of each clip ``(B,)``;
    ``labels``: class index of each clip ``(B,)``, -1 where there is none; ``start_seconds`` and
    ``end_seconds``: the half-open range of the video that each clip was taken from ``(B,)``.
    A batch all of whose videos failed has no clips: ``len(batch) == 0``.

    Raises:
        ValueError: if types or shapes do not fit together.
    """

    pixel_values: Tensor
    rows: Tensor
    labels: Tensor
    start_seconds: Tensor
    end_seconds: Tensor
    failures: list[Failure] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.pixel_values.dtype != torch.uint8 or self.pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values is {self.pixel_values.dtype} {tuple(self.pixel_values.shape)}, "
                "wanted uint8 (B, C, T, H, W)"
            )
        for name in _NUMBERS:
            value = getattr(self, name)
            if value.shape != (len(self),):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, wanted ({len(self)},)")

    def __len__(self) -> int:
        return self.pixel_values.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        """As sent from a loader worker: pixels are in shared memory, each tensor of which costs a
        file descriptor and a connection; the few numbers beside them go with the message."""
        state = vars(self)
        return {name: state[name].numpy() if name in _NUMBERS else state[name] for name in state}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, torch.from_numpy(value) if name in _NUMBERS else value)

    @classmethod
    def of_failure(cls, failure: Failure, clip_shape: tuple[int, int, int, int]) -> ClipBatch:
        """A batch without clips, of clips ``(C, T, H, W)``, that says why."""
        return cls(
            torch.empty((0, *clip_shape), dtype=torch.uint8),
            torch.empty(0, dtype=torch.int64),
            torch.empty(0, dtype=torch.int64),
            torch.empty(0, dtype=torch.float64),
            torch.empty(0, dtype=torch.float64),
            [failure],
        )

    @classmethod
    def concatenate(cls, batches: Sequence[ClipBatch]) -> ClipBatch:
        """One batch of all clips and failures, in order."""
        if len(batches) == 1:
            return batches[0]
        clips = [clip for batch in batches for clip in batch.pixel_values]
        return cls(
            # In a loader worker, straight into memory shared with the main process. In its own,
            # batches between clips would leave holes: hundreds of MiB over thousands of clips.
            default_collate(clips) if clips else batches[0].pixel_values,
            torch.cat([batch.rows for batch in batches]),
            torch.cat([batch.labels for batch in batches]),
            torch.cat([batch.start_seconds for batch in batches]),
            torch.cat([batch.end_seconds for batch in batches]),
            [failure for batch in batches for failure in batch.failures],
            [notice for batch in batches for notice in batch.notices],
        )

    def normalized(
        self, device: torch.device, mean: Sequence[float], std: Sequence[float]
    ) -> Tensor:
        """Clips as models take them: ``(value / 255 - mean) / std``, float32 ``(B, C, T, H, W)``,
        or ``(B, C, H, W)`` where a clip is one frame, which is an image.

        They travel to ``device`` as uint8, a quarter of the bytes, and are normalised there.
        """
        scale, shift = _scale_and_shift(device, tuple(mean), tuple(std))
        return model_input(self.pixel_values.to(device, non_blocking=True) * scale - shift)

    def pin_memory(self) -> ClipBatch:
        """In page-locked memory, so that copies to a GPU run beside computation."""
        return ClipBatch(
            self.pixel_values.pin_memory(),
            self.rows,
            self.labels.pin_memory(),
            self.start_seconds,
            self.end_seconds,
            self.failures,
            self.notices,
        )


@cache
def _scale_and_shift(
    device: torch.device, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """What brings bytes to ``(value / 255 - mean) / std``, ``(C, 1, 1, 1)`` each.

    Made once: a copy to a GPU from ordinary memory waits for all that the GPU has to do before.
    """
    deviation = torch.tensor(std, device=device).view(-1, 1, 1, 1)
    return 1 / (255 * deviation), torch.tensor(mean, device=device).view(-1, 1, 1, 1) / deviation
