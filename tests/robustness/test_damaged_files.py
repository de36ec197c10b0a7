"""Three hundred damaged files through each decoder; the same ones every time.

``damage.py`` beside this file tries as many as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.damage import GOOD, READER_SECONDS, try_decoder

NUM_DAMAGED = 300


@pytest.mark.parametrize(
    "decoder", ["pyav", "decord", pytest.param("torchcodec", marks=pytest.mark.ffmpeg)]
)
def test_damaged_files_are_refused_or_read_and_harm_no_good_ones(
    tmp_path: Path, decoder: str
) -> None:
    report = try_decoder(decoder, tmp_path, NUM_DAMAGED, seed=0)
    assert len(report.outcomes) == NUM_DAMAGED + NUM_DAMAGED // 9
    read = {path.name for path, outcome in report.alone.items() if outcome.digest}
    assert read == set(GOOD)
    assert report.faults == []
    assert report.harmed == []
    assert all(outcome.reason or outcome.digest for outcome in report.outcomes)
    assert max(outcome.seconds for outcome in report.outcomes) < READER_SECONDS  # each ends
    assert max(outcome.peak_mib for outcome in report.outcomes) < 1500
    counts = report.counts()
    del counts["good"]
    refused = sum(count["refused"] for count in counts.values())
    assert NUM_DAMAGED / 3 < refused < NUM_DAMAGED * 4 / 5
    # A wrong suffix does no harm.
    assert counts["renamed"]["right frames"] > counts["renamed"]["refused"]
