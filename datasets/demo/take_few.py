"""A manifest of the first few training videos of each class: what is left if labels are dear.

python datasets/demo/take_few.py data/demo --per-class 10
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--per-class", type=int, default=10)
    options = parser.parse_args()
    taken: Counter[str] = Counter()
    with (
        (options.dataset / "train.csv").open(encoding="utf-8", newline="") as source,
        (options.dataset / "train_few.csv").open("w", encoding="utf-8", newline="") as target,
    ):
        rows = csv.DictReader(source)
        few = csv.DictWriter(target, rows.fieldnames or [], lineterminator="\n")
        few.writeheader()
        for row in rows:
            taken[row["label"]] += 1
            if taken[row["label"]] <= options.per_class:
                few.writerow(row)
    print(f"{options.per_class} videos of each of {len(taken)} classes -> {target.name}")


if __name__ == "__main__":
    main()
