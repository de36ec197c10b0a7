"""A manifest in which classes are as unequal as one may wish: rare ones are left few videos.

python datasets/demo/thin_out.py data/demo --ratio 50

Writes ``train_thin.csv``: all training videos of the first class, and from class to class fewer by
the same factor, so that the last one has 1 / ratio of them.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--ratio", type=float, default=50)
    options = parser.parse_args()
    classes = (options.dataset / "classes.txt").read_text(encoding="utf-8").split()
    with (options.dataset / "train.csv").open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    there = Counter(row["label"] for row in rows)
    steps = max(len(classes) - 1, 1)
    wanted = {
        name: max(1, round(there[name] * options.ratio ** (-number / steps)))
        for number, name in enumerate(classes)
    }
    taken: Counter[str] = Counter()
    with (options.dataset / "train_thin.csv").open("w", encoding="utf-8", newline="") as target:
        thin = csv.DictWriter(target, ["path", "label"], lineterminator="\n")
        thin.writeheader()
        for row in rows:
            taken[row["label"]] += 1
            if taken[row["label"]] <= wanted[row["label"]]:
                thin.writerow(row)
    counts = ", ".join(f"{name} {count}" for name, count in wanted.items())
    print(f"{counts} -> {options.dataset / 'train_thin.csv'}")


if __name__ == "__main__":
    main()
