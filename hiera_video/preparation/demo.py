"""The demo dataset: writes its files, and refuses to replace other ones."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from hiera_video.errors import UserError
from hiera_video.files import atomic_path
from hiera_video.preparation.demo_videos import CLASSES, SPLITS, DemoSettings, write_video


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def ignore_interrupt() -> None:
    """Let only the main process handle Ctrl-C; it then stops its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def generate_demo(settings: DemoSettings, output_dir: Path, num_workers: int) -> int:
    """Write the files that do not exist yet; returns the number of videos that it rendered."""
    finished, started = output_dir / "dataset.json", output_dir / "dataset.unfinished.json"
    check_output_dir(settings, output_dir, finished, started)
    clips = settings.clips()
    missing = [clip for clip in clips if not (output_dir / clip.path).exists()]
    if finished.exists() and not missing:
        return 0
    output_dir.mkdir(parents=True, exist_ok=True)
    write_text(started, json.dumps(settings.recorded()))
    work = partial(write_video, settings=settings, output_dir=output_dir)
    with ProcessPoolExecutor(num_workers, initializer=ignore_interrupt) as pool:
        for _ in pool.map(work, missing, chunksize=4):
            pass
    for split in SPLITS:
        rows = [f"{clip.path.as_posix()},{clip.label}" for clip in clips if clip.split == split]
        write_text(output_dir / f"{split}.csv", "\n".join(["path,label", *rows]) + "\n")
    write_text(output_dir / "classes.txt", "\n".join(CLASSES) + "\n")
    # Renamed last: this file says that the dataset is complete.
    started.replace(finished)
    return len(missing)


def check_output_dir(settings: DemoSettings, output_dir: Path, *descriptions: Path) -> None:
    """Refuse a folder that holds a whole or unfinished dataset with other settings, or other files.

    Raises:
        UserError: if it does, or ``output_dir`` is a file.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"{output_dir} is a file: name a folder")
    described = [path for path in descriptions if path.exists()]
    for path in described:
        try:
            same = json.loads(path.read_text(encoding="utf-8")) == settings.recorded()
        except ValueError:
            same = False
        if not same:
            raise UserError(
                f"{output_dir} holds a dataset with other settings: remove it, or name another"
            )
    outputs = ("videos", "classes.txt", *(f"{split}.csv" for split in SPLITS))
    if not described and any((output_dir / name).exists() for name in outputs):
        raise UserError(f"{output_dir} holds something else (no dataset.json): name another folder")
