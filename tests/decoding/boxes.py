"""Byte-level changes to MP4, MOV and AVI files that no muxer can produce."""

from __future__ import annotations

import struct
from collections.abc import Callable

Patch = Callable[[bytes], bytes]


def _after(data: bytes, name: bytes) -> int:
    """The offset at which the contents of the first box or chunk of this name begin."""
    return data.index(name) + len(name)


def replaced(old: bytes, new: bytes) -> Patch:
    """Replace every occurrence of ``old`` by ``new``, which has the same length."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


def without_first_sync_sample(data: bytes) -> bytes:
    """MP4: remove the first entry of the keyframe table."""
    start = _after(data, b"stss") + 4
    (count,) = struct.unpack_from(">I", data, start)
    numbers = data[start + 4 : start + 4 + 4 * count]
    table = struct.pack(">I", count - 1) + numbers[4:] + numbers[-4:]
    return data[:start] + table + data[start + len(table) :]


def without_sync_samples(data: bytes) -> bytes:
    """MP4: empty the keyframe table, so that no frame counts as a keyframe."""
    start = _after(data, b"stss") + 4
    return data[:start] + bytes(4) + data[start + 4 :]


#: MP4: remove the keyframe table, so that every frame counts as a keyframe.
all_sync_samples = replaced(b"stss", b"free")


def display_matrix(a: int, b: int, c: int, d: int) -> Patch:
    """MP4, MOV: set the display matrix, by which players turn the picture (ISO/IEC 14496-12,
    6.2.2)."""

    def patch(data: bytes) -> bytes:
        version = data[_after(data, b"tkhd")]
        start = _after(data, b"tkhd") + (52 if version else 40)
        rows = struct.pack(">5i", *(value << 16 for value in (a, b, 0, c, d)))
        return data[:start] + rows + data[start + len(rows) :]

    return patch


def key_flags_of_avi(is_key: Callable[[int, bool], bool]) -> Patch:
    """AVI: set each chunk's keyframe flag in the index to ``is_key(chunk number, old flag)``."""

    def patch(data: bytes) -> bytes:
        start = data.rindex(b"idx1") + 4
        (size,) = struct.unpack_from("<I", data, start)
        changed = bytearray(data)
        for number in range(size // 16):
            at = start + 4 + 16 * number + 4
            (flags,) = struct.unpack_from("<I", data, at)
            new = flags | 0x10 if is_key(number, bool(flags & 0x10)) else flags & ~0x10
            struct.pack_into("<I", changed, at, new)
        return bytes(changed)

    return patch


def without_avi_index(data: bytes) -> bytes:
    """AVI: cut the file off where the index begins, as when a recorder loses power."""
    return data[: data.rindex(b"idx1")]


def with_short_avi_index(data: bytes) -> bytes:
    """AVI: cut the file off after the first half of its index."""
    start = data.rindex(b"idx1")
    return data[: start + 8 + (len(data) - start - 8) // 32 * 16]


def edit_list(*parts: tuple[int, int]) -> Patch:
    """MP4: replace the edit list by these parts, each ``(milliseconds, start in media ticks)``; a
    start of -1 is a pause. The old list must not have more parts; its box grows."""

    def patch(data: bytes) -> bytes:
        start = data.index(b"elst") - 4
        (size,) = struct.unpack_from(">I", data, start)
        rows = b"".join(struct.pack(">IiI", *part, 1 << 16) for part in parts)
        box = struct.pack(">I4sII", 16 + len(rows), b"elst", 0, len(parts)) + rows
        grown = bytearray(data[:start] + box + data[start + size :])
        for name in (
            b"edts",
            b"trak",
            b"moov",
        ):  # boxes around the edit list; the frames are stored before them
            at = data.rindex(name, 0, start) - 4
            (old,) = struct.unpack_from(">I", data, at)
            struct.pack_into(">I", grown, at, old + len(box) - size)
        return bytes(grown)

    return patch


def sync_samples(numbers: tuple[int, ...]) -> Patch:
    """MP4: replace the entries of the keyframe table by as many other ``numbers``."""

    def patch(data: bytes) -> bytes:
        start = _after(data, b"stss") + 4
        table = struct.pack(f">{len(numbers) + 1}I", len(numbers), *numbers)
        return data[:start] + table + data[start + len(table) :]

    return patch


#: MP4: remove the presentation times; only decoding times remain.
without_composition_times = replaced(b"ctts", b"free")


def without_jpeg_tables(data: bytes) -> bytes:
    """A JPEG picture without its Huffman tables, as capture cards write them into AVI."""
    at = data.index(b"\xff\xc4")
    (size,) = struct.unpack_from(">H", data, at + 2)
    return data[:at] + data[at + 2 + size :]
