"""Columns of predictions: one value per manifest row, null for rows without scores.

Axes: V rows that have values, K values of each.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def list_column(
    rows: np.ndarray, values: np.ndarray, num_rows: int, kind: pa.DataType | None = None
) -> pa.Array:
    """Lists of ``values`` ``(V, K)``, float32 unless ``kind`` says otherwise, in ``rows`` ``(V,)``,
    ascending, of ``num_rows``."""
    has_none = _has_none(rows, num_rows)
    offsets = np.append(0, np.cumsum(~has_none) * values.shape[1])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(values.reshape(-1), kind or pa.float32()),
        mask=pa.array(has_none),
    )


def name_column(rows: np.ndarray, indices: np.ndarray, num_rows: int, names: pa.Array) -> pa.Array:
    """``names`` of the ``indices`` ``(V,)`` in ``rows`` ``(V,)``, ascending, of ``num_rows``."""
    of_rows = np.zeros(num_rows, np.int64)
    of_rows[rows] = indices
    return names.take(pa.array(of_rows, mask=_has_none(rows, num_rows)))


def names_column(
    rows: np.ndarray, are_there: np.ndarray, num_rows: int, names: np.ndarray
) -> pa.Array:
    """Lists of those ``names`` ``(K,)`` that ``are_there`` ``(V, K)`` in ``rows`` ``(V,)``."""
    lists: list[list[str] | None] = [None] * num_rows
    for row, chosen in zip(rows.tolist(), are_there, strict=True):
        lists[row] = names[chosen].tolist()
    return pa.array(lists, pa.list_(pa.string()))


def _has_none(rows: np.ndarray, num_rows: int) -> np.ndarray:
    has_none = np.ones(num_rows, bool)
    has_none[rows] = False
    return has_none
