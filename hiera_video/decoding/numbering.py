"""The numbered pictures of a folder or archive: their names, in the order of their numbers.

Frame i is the i-th picture, whatever number the first one has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from hiera_video.decoding.source import IMAGE_SUFFIXES, is_image

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<digits>[0-9]+)(?P<suffix>\.[^./]+)", re.DOTALL)
#: What systems leave beside pictures: ``.DS_Store``, ``._00001.jpg``, ``__MACOSX/``.
_HIDDEN = re.compile(r"(^|/)(\.[^/]*$|__MACOSX/)")


@dataclass(frozen=True)
class PictureNames:
    """The names of ``num_frames`` pictures, in the order of their numbers.

    Names that only differ in a number, as nearly all do, take no memory: ``others`` is empty, and
    a name is ``prefix``, a number of at least ``num_digits`` digits that counts from ``first``, and
    ``suffix``. Otherwise ``others`` has the names.
    """

    num_frames: int
    prefix: str
    first: int
    num_digits: int
    suffix: str
    others: tuple[str, ...] = ()

    def __getitem__(self, frame: int) -> str:
        if self.others:
            return self.others[frame]
        return f"{self.prefix}{self.first + frame:0{self.num_digits}d}{self.suffix}"


def is_picture(name: str) -> bool:
    """Whether a name, perhaps with folders before it, is that of a picture that counts."""
    return is_image(name) and not _HIDDEN.search(name)


def number_pictures(names: Iterable[str]) -> PictureNames:
    """The pictures among ``names``. Other files, and hidden ones, do not count.

    Raises:
        ValueError: if there are none, one has no number, there are several numberings, or a number
            is missing or there twice; the message names the picture.
    """
    pictures: dict[int, re.Match[str]] = {}
    for name in filter(is_picture, sorted(names)):
        parts = _NUMBERED.fullmatch(name)
        if parts is None:
            raise ValueError(f"{name} has no number at the end of its name")
        other = pictures.setdefault(int(parts["digits"]), parts)
        first = next(iter(pictures.values()))
        if first["prefix"] != parts["prefix"]:
            raise ValueError(
                f"it has several numberings, such as {first[0]} and {name}; wanted one in a clip"
            )
        if other is not parts:
            raise ValueError(f"it has number {int(parts['digits'])} twice: {other[0]} and {name}")
    if not pictures:
        raise ValueError(f"it has no numbered pictures ({' '.join(IMAGE_SUFFIXES)})")
    return _in_order(pictures)


def _in_order(pictures: dict[int, re.Match[str]]) -> PictureNames:
    numbers = sorted(pictures)
    if len(numbers) <= numbers[-1] - numbers[0]:
        raise ValueError(_missing(numbers, pictures))
    parts = pictures[numbers[0]]
    names = PictureNames(
        len(numbers), parts["prefix"], numbers[0], len(parts["digits"]), parts["suffix"]
    )
    listed = tuple(pictures[number][0] for number in numbers)
    if all(names[frame] == name for frame, name in enumerate(listed)):
        return names
    return PictureNames(*(names.num_frames, names.prefix, names.first), 0, "", listed)


def _missing(numbers: list[int], pictures: dict[int, re.Match[str]]) -> str:
    """The first picture that is missing, and how many are."""
    before = next(low for low, high in pairwise(numbers) if high - low > 1)
    parts = pictures[before]
    name = f"{parts['prefix']}{before + 1:0{len(parts['digits'])}d}{parts['suffix']}"
    num_others = numbers[-1] - numbers[0] - len(numbers)
    others = f" (and {num_others} more)" if num_others else ""
    return f"{name} is missing{others}: numbers go from {numbers[0]} to {numbers[-1]}"
