"""Say what the demo reached, and fail if it is less than it should be.

python datasets/demo/check.py runs/demo
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST_TOP1 = 0.90
MOST_TOP1_SHUFFLED = 0.40


def main() -> int:
    run = Path(sys.argv[1])
    top1, shuffled = (
        json.loads((run / folder / "metrics.json").read_text(encoding="utf-8"))["top1"]
        for folder in ("evaluation", "evaluation_shuffled")
    )
    print(f"top-1 {top1:.3f} (at least {LEAST_TOP1:.2f})")
    print(
        f"top-1 {shuffled:.3f} with every clip's frames shuffled (at most {MOST_TOP1_SHUFFLED:.2f})"
    )
    print("the model sees motion, not colour" if shuffled < top1 else "the order does not matter")
    print(f"see {run}/curves.png, {run}/evaluation/report.html, {run}/features/index.parquet")
    return 0 if top1 >= LEAST_TOP1 and shuffled <= MOST_TOP1_SHUFFLED else 1


if __name__ == "__main__":
    sys.exit(main())
