"""The rotation that players apply to a video: the display matrix that phones write into files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np


@dataclass(frozen=True)
class Orientation:
    """Quarter turns and mirroring: swap rows and columns first, then reverse them."""

    swap: bool = False
    reverse_rows: bool = False
    reverse_columns: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """The orientation in the frame's display matrix.

        The matrix takes column x and row y to ``(a x + c y, b x + d y)`` (ISO/IEC 14496-12, 6.2.2).

        Raises:
            ValueError: for a rotation other than by quarter turns.
        """
        try:
            side_data: Any = frame.side_data.get("DISPLAYMATRIX")
        except ValueError:  # PyAV does not know all kinds of side data
            side_data = None
        if side_data is None:
            return cls()
        a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
        if b == c == 0 and a and d:
            return cls(False, d < 0, a < 0)
        if a == d == 0 and b and c:
            return cls(True, b < 0, c < 0)
        angle = np.degrees(np.arctan2(b, a))
        raise ValueError(
            f"its display matrix turns frames by {angle:.0f} degrees, not by quarter turns"
        )

    @property
    def mirrors(self) -> bool:
        """Whether the image is mirrored, not only turned."""
        return (self.swap + self.reverse_rows + self.reverse_columns) % 2 == 1

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn an image ``(H, W, C)`` upright."""
        if self.swap:
            image = image.swapaxes(0, 1)
        if self.reverse_rows:
            image = np.flip(image, 0)
        if self.reverse_columns:
            image = np.flip(image, 1)
        return np.ascontiguousarray(image) if self != Orientation() else image
