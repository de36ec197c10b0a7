"""Class names: their spelling, and the order that gives them their indices.

Every name from a manifest, class list, folder or annotation goes through :func:`normalize_label`.
Where the user gives no order of classes, :func:`order_classes` decides it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

#: Control characters that count as white space; all others are removed.
_LINE_BREAKS_AND_TABS = re.compile("[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
#: Invisible characters: zero-width ones, direction marks, soft hyphens, byte order marks.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]+"
)

_MAX_SHOWN = 5


def normalize_label(label: str) -> str:
    """The form in which a class name is compared and written: Unicode NFC, without control and
    zero-width characters, stripped. A line break or tab inside it becomes a space."""
    if label.isascii() and label.isprintable():
        return label.strip()
    # Remove them before composing: one may stand between a letter and its accent.
    visible = _INVISIBLE.sub("", _LINE_BREAKS_AND_TABS.sub(" ", label))
    return unicodedata.normalize("NFC", visible).strip()


def are_numbers(classes: Iterable[str]) -> bool:
    """Whether all names are decimal numbers."""
    return all(name.isdecimal() for name in classes)


def order_classes(labels: Iterable[str]) -> list[str]:
    """The distinct classes of ``labels``, in the order of their indices: by value if all are
    decimal numbers (0, 1, 2, 10), else as text."""
    classes = sorted({normalize_label(label) for label in labels})
    return sorted(classes, key=int) if are_numbers(classes) else classes


def same_names(one: Mapping[int, str] | None, other: Mapping[int, str] | None) -> bool:
    """Whether each index has the same class name in both, after normalisation."""
    first, second = (
        {index: normalize_label(name) for index, name in (names or {}).items()}
        for names in (one, other)
    )
    return first == second


def describe_order(classes: Sequence[str]) -> str:
    """A note on automatically sorted classes: the first five, and how they were sorted."""
    shown = ", ".join(classes[:_MAX_SHOWN]) + (", ..." if len(classes) > _MAX_SHOWN else "")
    kind = "by value" if are_numbers(classes) else "as text"
    return f"{shown} (sorted {kind}, since there is no classes.txt)"


def similar_labels(counts: Mapping[str, int]) -> list[str]:
    """A warning for each group of names that differ only in case or white space; ``counts`` gives
    the number of videos of each name."""
    groups: dict[str, list[str]] = {}
    for name in sorted(counts):
        groups.setdefault("".join(name.split()).casefold(), []).append(name)
    return [
        "labels that differ only in case or white space count as different classes: "
        + ", ".join(f"{name!r} ({counts[name]})" for name in names)
        for names in groups.values()
        if len(names) > 1
    ]
