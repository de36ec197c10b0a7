"""MPEG-4 part 2 as its encoders put it into AVI: B-frames packed with the preceding frame.

AVI cannot express that a frame is stored before frames that are shown earlier. DivX and XviD put
such a frame and the first B-frame after it into one chunk, and a placeholder (a picture "not
coded") into the chunk that becomes free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from av.packet import Packet

from tests.decoding.making import Change, packet_like

_VOP = b"\x00\x00\x01\xb6"
_USER_DATA = b"\x00\x00\x01\xb2"
_P, _B = 1, 2


def vop_type(data: bytes) -> int:
    """The type of the last picture in ``data``: 0, 1, 2 for an I-, P- or B-frame."""
    return data[data.rindex(_VOP) + 4] >> 6


def not_coded(picture: bytes, time_bits: int) -> bytes:
    """A placeholder: a P-frame with ``vop_coded`` 0, at the time of ``picture``."""
    header = picture[picture.rindex(_VOP) + 4 :][:12]
    bits = "".join(f"{byte:08b}" for byte in header)
    end_of_seconds = bits.index("0", 2) + 1  # modulo_time_base: one 1 bit per second passed
    end_of_time = end_of_seconds + 1 + time_bits + 1  # with a marker on both sides
    bits = f"{_P:02b}{bits[2:end_of_time]}0"  # the last one: vop_coded
    bits += "0" + "1" * (-(len(bits) + 1) % 8)
    return _VOP + bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def packed(time_bits: int = 5, placeholder: bytes | None = None, keys: bool = False) -> Change:
    """Pack B-frames. ``time_bits``: bits of the time within a second (5 for 25 pictures a second);
    ``placeholder``: content of free chunks, by default a picture that is not coded; ``keys``:
    whether free chunks are flagged as keyframes."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        for number, (data, is_free) in enumerate(_grouped([bytes(p) for p in packets])):
            if is_free:
                data = not_coded(data, time_bits) if placeholder is None else placeholder
            if number == 0:
                at = data.index(_VOP)
                data = data[:at] + _USER_DATA + b"DivX503b1393p" + data[at:]
            is_key = keys if is_free else vop_type(data) == 0
            yield packet_like(packets[0], data, pts=number, dts=number, is_keyframe=is_key)

    return change


def _grouped(pictures: Sequence[bytes]) -> Iterable[tuple[bytes, bool]]:
    """The content of each chunk, and False; for free chunks the picture at that time, and True."""
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
    """Insert chunks so that ``places[number]`` becomes chunk ``number``."""

    def change(packets: list[Packet]) -> Iterable[Packet]:
        remaining, number = list(packets), 0
        while remaining or number in places:
            if number in places:
                yield packet_like(
                    packets[0], places[number], pts=number, dts=number, is_keyframe=keys
                )
            else:
                packet = remaining.pop(0)
                yield packet_like(packet, bytes(packet), pts=number, dts=number)
            number += 1

    return change


def renumbered(packets: list[Packet]) -> Iterable[Packet]:
    """Number the packets 0, 1, ... as timestamps, so that AVI gets no empty chunk for the delay."""
    for number, packet in enumerate(packets):
        yield packet_like(packet, bytes(packet), pts=number, dts=number)
