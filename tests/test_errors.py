"""What the messages for users are made of."""

from __future__ import annotations

import pytest

from hiera_video.errors import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device", "/some/file"), "no space left on device"),
        (ValueError("Expecting value: line 1\nand more\n"), "expecting value: line 1"),
        (RuntimeError("\n  Two lines \n are below"), "two lines"),
        (RuntimeError("CUDA out of memory"), "CUDA out of memory"),
        (RuntimeError("PytorchStreamReader failed"), "PytorchStreamReader failed"),
        (KeyError(), "KeyError"),
        (OSError(), "OSError"),
    ],
)
def test_a_reason_is_one_line_within_a_sentence(error: BaseException, reason: str) -> None:
    assert reason_of(error) == reason
    assert reason_of(error, system=True) == reason


def test_the_system_is_asked_behind_what_a_library_made_of_it() -> None:
    def write() -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904

    with pytest.raises(RuntimeError) as caught:
        write()
    assert reason_of(caught.value) == "unexpected pos 64 vs 0"
    assert reason_of(caught.value, system=True) == "no space left on device"
