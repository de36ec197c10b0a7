"""Limits of single settings, with messages of their own."""

from __future__ import annotations

from pydantic import AfterValidator


def at_least(least: int) -> AfterValidator:
    """Refuses what is smaller."""

    def check(value: int) -> int:
        if value < least:
            raise ValueError(f"wanted at least {least}")
        return value

    return AfterValidator(check)
