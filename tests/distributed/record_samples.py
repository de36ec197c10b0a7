"""Runs a script of the repository unchanged, and writes down which samples its workers made.

    record_samples.py FOLDER SCRIPT [ARGUMENTS]

Each process leaves ``FOLDER/RANK.processes``: how many processes there were; and
``FOLDER/RANK.samples``: a line for each sample that it or one of its workers made, with what was
asked for, the labels, and a digest of the views.
"""

from __future__ import annotations

import hashlib
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hiera_video.batch import ClipBatch
from hiera_video.data.dataset import EvaluationClips, TrainClips
from hiera_video.data.windows import VideoWindows, WindowBatch


class Recorder:
    """Lets datasets write down what they give."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, kind: str, key: object, batch: ClipBatch) -> None:
        digest = hashlib.sha256(batch.pixel_values.numpy().tobytes()).hexdigest()
        targets = {name: target.tolist() for name, target in batch.targets.items()}
        line = f"{kind} {key} | {targets} {digest}\n"
        # One write each, at the end of the file: workers do not get into each other's lines.
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)

    def install(self) -> None:
        self.watch_items(TrainClips, "train")
        self.watch_items(EvaluationClips, "evaluate")
        windows = VideoWindows.__iter__

        def iterate(dataset: VideoWindows) -> Iterator[WindowBatch]:
            for batch in windows(dataset):
                for row in sorted(set(batch.clips.rows.tolist())):
                    self.write("extract", row, batch.clips)
                yield batch

        VideoWindows.__iter__ = iterate  # type: ignore[method-assign]

    def watch_items(self, dataset: type[Any], kind: str) -> None:
        get = dataset.__getitem__

        def get_item(clips: object, key: object) -> ClipBatch:
            batch: ClipBatch = get(clips, key)
            self.write(kind, key, batch)
            return batch

        dataset.__getitem__ = get_item


def main() -> None:
    folder, script = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    rank = os.environ.get("RANK", "0")
    Recorder(folder / f"{rank}.samples").install()
    end = Accelerator.end_training

    def record_processes(accelerator: Accelerator) -> None:
        (folder / f"{rank}.processes").write_text(str(accelerator.num_processes))
        end(accelerator)

    Accelerator.end_training = record_processes
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
