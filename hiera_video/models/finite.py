"""Values that are not finite: in what a model says of clips, and in its weights.

Clips are bytes, so what a model makes of them is finite unless a weight is not, or the numbers
outgrow the precision (fp16). Neither is a fault of the file: no run skips it. Where all clips of a
batch have such values, the model is to blame; where some have, those clips are named.

Axes: B clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hiera_video.errors import NotFiniteError

#: What wrappers of models (DDP, ``torch.compile``) put before the names of weights.
_WRAPPERS = ("module.", "_orig_mod.")


def finite_clips(output: Tensor) -> Tensor:
    """Which clips of ``output`` ``(B, ...)`` have finite values only: bool ``(B,)``, there where
    ``output`` is."""
    # The largest of them is NaN where one is NaN: a third of the time that `isfinite` of all takes.
    return output.flatten(1).abs().amax(1).isfinite()


def describe_not_finite_weight(weights: Mapping[str, Tensor]) -> str | None:
    """The first weight that is not finite, and how many of its values; None if there is none."""
    for name, weight in weights.items():
        if weight.is_floating_point() and not weight.abs().amax().isfinite():
            count = int((~weight.isfinite()).sum())
            for wrapper in _WRAPPERS:
                name = name.removeprefix(wrapper)
            return f"{name} has {count} of {weight.numel()} values that are not finite"
    return None


@dataclass
class _Seen:
    """Which clips of a batch are finite, on the way to the host, and the rows that they are of.

    ``copied`` is None where that is there already."""

    finite: Tensor
    rows: Tensor
    copied: torch.cuda.Event | None

    @property
    def is_there(self) -> bool:
        return self.copied is None or self.copied.query()


class FiniteOutputs:
    """Makes sure that the outputs of a model are finite, without a wait for any batch of them.

    Args:
        model: what computes them; looked at for a message only.
        output: what they are, such as ``logits``.
        path: of the file of a row.
    """

    def __init__(self, model: nn.Module, output: str, path: Callable[[int], str]) -> None:
        self.model = model
        self.output = output
        self.path = path
        self._seen: list[_Seen] = []

    def see(self, output: Tensor, rows: Tensor) -> None:
        """Take note of ``output`` ``(B, ...)`` of clips of ``rows`` ``(B,)``, and look at all those
        before it that have come to the host.

        Raises:
            NotFiniteError: for the first that is not finite.
        """
        finite = finite_clips(output)
        copied = None
        host = finite.to("cpu", non_blocking=finite.is_cuda)
        if finite.is_cuda:
            copied = torch.cuda.Event()
            copied.record()
        self._seen.append(_Seen(host, rows, copied))
        self.look()

    def look(self, *, wait: bool = False) -> None:
        """Look at what has come to the host; with ``wait``, at all that was seen.

        Raises:
            NotFiniteError: for the first that is not finite.
        """
        while self._seen and (wait or self._seen[0].is_there):
            seen = self._seen.pop(0)
            if seen.copied is not None:
                seen.copied.synchronize()
            self._check(seen.finite, seen.rows)

    def _check(self, finite: Tensor, rows: Tensor) -> None:
        if finite.all():
            return
        bad = list(dict.fromkeys(rows[~finite].tolist()))
        blamed = "the model is to blame, all clips of the batch are like this"
        if finite.any():
            blamed = f"{int(finite.sum())} of {len(rows)} clips of the batch are fine, this is not"
        weight = describe_not_finite_weight(self.model.state_dict())
        cause = "all weights are finite, so numbers grew too large: try precision=fp32"
        if weight is not None:
            cause = f"its weight {weight}"
        others = f" (nor those of {len(bad) - 1} more videos)" if len(bad) > 1 else ""
        raise NotFiniteError(
            f"{self.path(bad[0])}: the {self.output} are not finite{others}; {blamed}; {cause}"
        )
