"""Say what a balanced order is worth where classes are unequal, and fail if it is worth nothing.

    python datasets/demo/compare_samplers.py runs/demo_thin

Reads the last validation of every run in ``uniform_<seed>/`` and ``balanced_<seed>/``.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

FIGURES = ("val/macro_f1", "val/balanced_accuracy", "val/top1")


def last_figures(folder: Path, kind: str) -> list[dict[str, float]]:
    """The last validation of each run of a kind."""
    logs = sorted(folder.glob(f"{kind}_*/log.jsonl"))
    lines = (log.read_text(encoding="utf-8").splitlines() for log in logs)
    validated = [
        [record for line in log if FIGURES[0] in (record := json.loads(line))] for log in lines
    ]
    return [records[-1] for records in validated if records]


def main() -> int:
    folder = Path(sys.argv[1])
    runs = {kind: last_figures(folder, kind) for kind in ("uniform", "balanced")}
    if min(map(len, runs.values())) < 2:
        print(f"{folder}: wanted two runs of each kind at least, uniform_<seed>, balanced_<seed>")
        return 2
    for figure in FIGURES:
        for kind, records in runs.items():
            values = [record[figure] for record in records]
            each = ", ".join(f"{value:.3f}" for value in values)
            spread = statistics.stdev(values)
            print(f"{figure:22} {kind:9} {statistics.mean(values):.3f} ± {spread:.3f}  ({each})")
    of_kind = {kind: [record[FIGURES[0]] for record in records] for kind, records in runs.items()}
    # The worst of one against the best of the other: more than any spread explains.
    gain = min(of_kind["balanced"]) - max(of_kind["uniform"])
    print(f"balanced wins by {gain:.3f} at least" if gain > 0 else "balanced does not win")
    return 0 if gain > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
