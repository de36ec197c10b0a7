"""Numbers of a row: columns of a manifest, and how they are normalised for training.

Axes: N rows, K targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hiera_video.errors import ManifestError


@dataclass(frozen=True)
class TargetStatistics:
    """Mean and deviation of each of K targets over the rows of a training manifest.

    Where a target is the same in all rows, its deviation counts as 1.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, values: np.ndarray) -> TargetStatistics:
        """Of values ``(N, K)``."""
        deviation = values.std(0)
        deviation = np.where(deviation > 0, deviation, 1.0)
        return cls(tuple(values.mean(0).tolist()), tuple(deviation.tolist()))

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Values ``(..., K)`` in units of the deviation, from the mean on."""
        return (values - np.array(self.mean)) / np.array(self.deviation)

    def restore(self, normalized: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`normalize`, in float64: the unit of the data."""
        return normalized.astype(np.float64) * np.array(self.deviation) + np.array(self.mean)


class TargetNumbers:
    """One or several numbers per row: the targets ``values``, as they are written, and
    ``normalized``.

    Args:
        columns: their names.
        statistics: normalise; None takes those of the first manifest that is read.

    Attributes:
        statistics: without ``statistics``, known once a manifest is read.
    """

    def __init__(self, columns: Sequence[str], statistics: TargetStatistics | None = None) -> None:
        self.columns = tuple(columns)
        self.statistics = statistics

    def encode(self, path: Path, table: pa.Table) -> dict[str, pa.Array]:
        """K numbers for each row of the manifest at ``path``.

        Raises:
            ManifestError: if a cell is empty, or no finite number; the message names its line.
        """
        numbers = [_numbers(path, name, table[name]) for name in self.columns]
        values = np.stack(numbers, axis=1)
        if self.statistics is None:
            self.statistics = TargetStatistics.of(values)
        normalized = self.statistics.normalize(values).astype(np.float32)
        return {"values": _lists(values), "normalized": _lists(normalized)}


def _lists(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of text ``(N,)``, float64."""
    texts = pc.utf8_trim_whitespace(column)
    try:
        numbers = texts.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        numbers = np.array([_number(text) for text in texts.to_pylist()])
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        row = int(wrong[0])
        text = texts[row].as_py()
        fault = f"{name}={text!r} is not a number" if text else f"has no {name}"
        raise ManifestError(f"{path}, line {row + 2}: {fault}")
    return numbers


def _number(text: str) -> float:
    """A number, or nan if it is none."""
    try:
        return float(pa.scalar(text).cast(pa.float64()).as_py())
    except pa.ArrowInvalid:
        return float("nan")
