"""MPEG-4 part 2 as the encoders of its time put it into AVI: B-frames packed with the frame before.

AVI has no place for a frame that is stored before those shown ahead of it. DivX and XviD put such
a frame and the first B-frame after it into one chunk, and a placeholder (a picture "not coded")
into the chunk that is left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from av.packet import Packet

from tests.decoding.making import Change, packet_like

_VOP = b"\x00\x00\x01\xb6"
_USER_DATA = b"\x00\x00\x01\xb2"
_P, _B = 1, 2


def vop_type(data: bytes) -> int:
    """0, 1, 2: whether the (last) picture in some data is an I-, P- or B-frame."""
    return data[data.rindex(_VOP) + 4] >> 6


def not_coded(like: bytes, time_bits: int) -> bytes:
    """A placeholder: a P-frame that says "no picture", at the time of the picture ``like``."""
    header = like[like.rindex(_VOP) + 4 :][:12]
    bits = "".join(f"{byte:08b}" for byte in header)
    end_of_seconds = bits.index("0", 2) + 1  # a one for each second that has passed
    end_of_time = end_of_seconds + 1 + time_bits + 1  # with a marker on both sides
    bits = f"{_P:02b}{bits[2:end_of_time]}0"  # the last one: vop_coded
    bits += "0" + "1" * (-(len(bits) + 1) % 8)
    return _VOP + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def packed(time_bits: int = 5, placeholder: bytes | None = None, keys: bool = False) -> Change:
    """Packs B-frames. ``time_bits``: of the time within a second (5 for 25 pictures a second);
    ``placeholder``: what to put into chunks left over, if not a picture that is not coded;
    ``keys``: whether these are called keyframes."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        for number, packet in enumerate(_grouped([bytes(p) for p in packets])):
            data, is_left_over = packet
            if is_left_over:
                data = not_coded(data, time_bits) if placeholder is None else placeholder
            if number == 0:
                at = data.index(_VOP)
                data = data[:at] + _USER_DATA + b"DivX503b1393p" + data[at:]
            is_key = keys if is_left_over else vop_type(data) == 0
            yield packet_like(packets[0], data, pts=number, dts=number, is_keyframe=is_key)

    return change


def _grouped(pictures: Sequence[bytes]) -> Iterable[tuple[bytes, bool]]:
    """What each chunk holds; for those left over, the picture whose place it is, and True."""
    at = 0
    while at < len(pictures):
        end = at + 1
        while end < len(pictures) and vop_type(pictures[end]) == _B:
            end += 1
        if end == at + 1:
            yield pictures[at], False
        else:
            yield pictures[at] + pictures[at + 1], False
            for picture in pictures[at + 2 : end]:
                yield picture, False
            yield pictures[at], True
        at = end


def with_chunks(places: dict[int, bytes], keys: bool = False) -> Change:
    """Puts chunks of other data in, so that they stand at these numbers."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        left, number = list(packets), 0
        while left or number in places:
            if number in places:
                yield packet_like(
                    packets[0], places[number], pts=number, dts=number, is_keyframe=keys
                )
            else:
                packet = left.pop(0)
                yield packet_like(packet, bytes(packet), pts=number, dts=number)
            number += 1

    return change


def renumbered(packets: list[Packet]) -> Iterable[Packet]:
    """Gives packets the numbers 0, 1, ... as times: AVI then has no empty chunk for a delay."""
    for number, packet in enumerate(packets):
        yield packet_like(packet, bytes(packet), pts=number, dts=number)
