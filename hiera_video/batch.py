"""What crosses from data to models: clips that stay uint8 until they are on the device.

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

#: What a batch has one number of for each clip.
_NUMBERS = ("rows", "start_seconds", "end_seconds")


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
    """Clips, where they come from, what is to be learned from them, and what could not be read.

    ``pixel_values``: uint8 ``(B, C, T, H, W)``; ``rows``: manifest row of each clip ``(B,)``;
    ``start_seconds`` and ``end_seconds``: the half-open range of the video that each clip was taken
    from ``(B,)``; ``targets``: by name, what the manifest's encoder made of the clips' rows,
    ``(B, ...)`` each, empty where nothing is learned.
    A batch all of whose videos failed has no clips, ``len(batch) == 0``, and no targets.

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
        for name in _NUMBERS:
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
        """As sent from a loader worker: pixels are in shared memory, each tensor of which costs a
        file descriptor and a connection; the few numbers beside them go with the message."""
        state = vars(self) | {name: getattr(self, name).numpy() for name in _NUMBERS}
        return state | {"targets": {name: t.numpy() for name, t in self.targets.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in _NUMBERS:
            setattr(self, name, torch.from_numpy(state[name]))
        self.targets = {name: torch.from_numpy(t) for name, t in state["targets"].items()}

    @classmethod
    def of_failure(cls, failure: Failure, clip_shape: tuple[int, int, int, int]) -> ClipBatch:
        """An empty batch that carries ``failure``; its clips would have been ``(C, T, H, W)``."""
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
            # In a loader worker, straight into memory shared with the main process. In its own,
            # batches between clips would leave holes: hundreds of MiB over thousands of clips.
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
        """Clips as models take them: ``(value / 255 - mean) / std``, float32 ``(B, C, T, H, W)``,
        or ``(B, C, H, W)`` where a clip is one frame, which is an image.

        They travel to ``device`` as uint8, a quarter of the bytes, and are normalised there.
        """
        scale, shift = _scale_and_shift(device, tuple(mean), tuple(std))
        return model_input(self.pixel_values.to(device, non_blocking=True) * scale - shift)

    def pin_memory(self) -> ClipBatch:
        """In page-locked memory, so that copies to a GPU run beside computation."""
        return replace(
            self,
            pixel_values=self.pixel_values.pin_memory(),
            targets={name: target.pin_memory() for name, target in self.targets.items()},
        )


@cache
def _scale_and_shift(
    device: torch.device, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Scale and shift, ``(C, 1, 1, 1)`` each: ``bytes * scale - shift`` is
    ``(bytes / 255 - mean) / std``.

    Made once: a copy to a GPU from ordinary memory waits for all that the GPU has to do before.
    """
    deviation = torch.tensor(std, device=device).view(-1, 1, 1, 1)
    return 1 / (255 * deviation), torch.tensor(mean, device=device).view(-1, 1, 1, 1) / deviation
