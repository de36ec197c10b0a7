"""Say what pre-training is worth with few labels, and fail if it is worth nothing.

    python datasets/demo/compare_pretraining.py runs/demo_pretrain

Reads the last validation of every run in ``finetuned_<seed>/`` and ``scratch_<seed>/``.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path


def accuracies(folder: Path, kind: str) -> list[float]:
    """Top-1 that each run of a kind ended with."""
    logs = sorted(folder.glob(f"{kind}_*/log.jsonl"))
    lines = (log.read_text(encoding="utf-8").splitlines() for log in logs)
    validated = [
        [record for line in log if "val/top1" in (record := json.loads(line))] for log in lines
    ]
    return [records[-1]["val/top1"] for records in validated]


def main() -> int:
    folder = Path(sys.argv[1])
    finetuned, scratch = accuracies(folder, "finetuned"), accuracies(folder, "scratch")
    for name, values in (("pre-trained", finetuned), ("from scratch", scratch)):
        each = ", ".join(f"{value:.3f}" for value in values)
        mean, spread = statistics.mean(values), statistics.stdev(values)
        print(f"{name:12}  top-1 {mean:.3f} ± {spread:.3f}  ({each})")
    # The worst with pre-training against the best without: more than any spread explains.
    gain = min(finetuned) - max(scratch)
    print(f"pre-training wins by {gain:.3f} at least" if gain > 0 else "pre-training does not win")
    return 0 if gain > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
