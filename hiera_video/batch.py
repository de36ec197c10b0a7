"""Batches, which carry clips from data to models. Clips stay uint8 until they are on the device.

An image is a clip of one frame. Axes: B clips, C channels, T H W frames, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import default_collate

#: Fields of a batch with one number per clip.
_PER_CLIP_NUMBERS = ("rows", "start_seconds", "end_seconds")


@dataclass(frozen=True)
class Failure:
    """A manifest row whose video could not be read."""

    row: int
    path: str
    reason: str


NoticeKind = Literal["read by pyav", "counted by decoding"]


@dataclass(frozen=True)
class Notice:
    """An unusual way in which a row's video was read: by PyAV instead of the chosen decoder, or
    after its frames were counted by decoding."""

    row: int
    path: str
    kind: NoticeKind
    reason: str


def model_input(clips: Tensor) -> Tensor:
    """``(B, C, T, H, W)`` in the form that models take: one-frame clips as ``(B, C, H, W)``."""
    return clips.squeeze(2)


@dataclass
class ClipBatch:
    """Clips with their origin and targets, and the failures of videos that could not be read.

    ``pixel_values``: uint8 ``(B, C, T, H, W)``; ``rows``: manifest row of each clip ``(B,)``;
    ``start_seconds`` and ``end_seconds``: the half-open range of the video that each clip was taken
    from ``(B,)``; ``targets``: the encoded targets of each clip's row by name, ``(B, ...)`` each,
    empty if the task has none.
    If all its videos failed, a batch has no clips, ``len(batch) == 0``, and no targets.

    Raises:
        ValueError: if types or shapes do not fit together.
    """

    pixel_values: Tensor
    rows: Tensor
    start_seconds: Tensor
    end_seconds: Tensor
    targets: dict[str, Tensor] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.pixel_values.dtype != torch.uint8 or self.pixel_values.ndim != 5:
            raise ValueError(
                f"pixel_values is {self.pixel_values.dtype} {tuple(self.pixel_values.shape)}, "
                "wanted uint8 (B, C, T, H, W)"
            )
        for name in _PER_CLIP_NUMBERS:
            value = getattr(self, name)
            if value.shape != (len(self),):
                raise ValueError(f"{name} has shape {tuple(value.shape)}, wanted ({len(self)},)")
        for name, target in self.targets.items():
            if target.shape[:1] != (len(self),):
                raise ValueError(
                    f"targets[{name!r}] has shape {tuple(target.shape)}, wanted ({len(self)}, ...)"
                )

    def __len__(self) -> int:
        return self.pixel_values.shape[0]

    def __getstate__(self) -> dict[str, Any]:
        """The state that a loader worker sends. Only the pixels go through shared memory, where
        each tensor costs a file descriptor and a connection; the numbers go with the message."""
        state = vars(self) | {name: getattr(self, name).numpy() for name in _PER_CLIP_NUMBERS}
        return state | {"targets": {name: t.numpy() for name, t in self.targets.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in _PER_CLIP_NUMBERS:
            setattr(self, name, torch.from_numpy(state[name]))
        self.targets = {name: torch.from_numpy(t) for name, t in state["targets"].items()}

    @classmethod
    def of_failure(cls, failure: Failure, clip_shape: tuple[int, int, int, int]) -> ClipBatch:
        """An empty batch that carries ``failure``; ``clip_shape`` is the ``(C, T, H, W)`` that its
        clips would have had."""
        return cls(
            pixel_values=torch.empty((0, *clip_shape), dtype=torch.uint8),
            rows=torch.empty(0, dtype=torch.int64),
            start_seconds=torch.empty(0, dtype=torch.float64),
            end_seconds=torch.empty(0, dtype=torch.float64),
            failures=[failure],
        )

    @classmethod
    def concatenate(cls, batches: Sequence[ClipBatch]) -> ClipBatch:
        """One batch of all clips and failures, in order."""
        if len(batches) == 1:
            return batches[0]
        clips = [clip for batch in batches for clip in batch.pixel_values]
        targets = [batch.targets for batch in batches if len(batch)]
        return cls(
            # In a loader worker this writes straight into memory shared with the main process.
            # Batches in the worker's own memory would leave holes between clips: hundreds of MiB
            # over thousands of clips.
            pixel_values=default_collate(clips) if clips else batches[0].pixel_values,
            rows=torch.cat([batch.rows for batch in batches]),
            start_seconds=torch.cat([batch.start_seconds for batch in batches]),
            end_seconds=torch.cat([batch.end_seconds for batch in batches]),
            targets={
                name: torch.cat([named[name] for named in targets])
                for name in (targets[0] if targets else ())
            },
            failures=[failure for batch in batches for failure in batch.failures],
            notices=[notice for batch in batches for notice in batch.notices],
        )

    def normalized(
        self, device: torch.device, mean: Sequence[float], std: Sequence[float]
    ) -> Tensor:
        """The model's input: ``(value / 255 - mean) / std``, float32 ``(B, C, T, H, W)``, or
        ``(B, C, H, W)`` if clips have one frame, which are images.

        Clips travel to ``device`` as uint8, a quarter of the bytes, and are normalised there.
        """
        clips = self.pixel_values.to(device, non_blocking=True)
        return model_input(normalize(clips, tuple(mean), tuple(std)))

    def pin_memory(self) -> ClipBatch:
        """The batch in page-locked memory, so that copies to a GPU overlap with computation."""
        return replace(
            self,
            pixel_values=self.pixel_values.pin_memory(),
            targets={name: target.pin_memory() for name, target in self.targets.items()},
        )


def normalize(
    clips: Tensor, mean: tuple[float, ...], std: tuple[float, ...], num_axes_behind: int = 3
) -> Tensor:
    """Bytes of views -> the values that a model takes, float32: ``(value / 255 - mean) / std``.

    Args:
        clips: uint8 ``(..., C, T, H, W)``.
        num_axes_behind: of the axis of channels; 2 for images ``(..., C, H, W)``.
    """
    scale, shift = scale_and_shift(clips.device, mean, std)
    axes = (-1, *[1] * num_axes_behind)
    return clips * scale.view(axes) - shift.view(axes)


@cache
def scale_and_shift(
    device: torch.device, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Scale and shift, ``(C, 1, 1, 1)`` each, with ``bytes * scale - shift`` equal to
    ``(bytes / 255 - mean) / std``.

    Cached, because a copy from ordinary memory waits until the GPU has finished all earlier work.
    """
    deviation = torch.tensor(std, device=device).view(-1, 1, 1, 1)
    return 1 / (255 * deviation), torch.tensor(mean, device=device).view(-1, 1, 1, 1) / deviation
