"""A reader that dies, hangs or keeps waiting on files with certain names, as a broken decoder does.

    deadly_reader.py SCRIPT [ARGUMENTS]

runs a script of the repository, with this reader in the place of the usual one.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from pathlib import Path
from typing import Any

from torch.utils.data import get_worker_info

from hiera_video.decoding import open_video
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader
from hiera_video.inspection import examine

#: What happens where a file's name has this in it. (torch reports a segmentation fault on standard
#: error itself, besides.)
SIGNALS = {"killed": signal.SIGKILL, "aborted": signal.SIGABRT, "crashed": signal.SIGSEGV}


class DeadlyReader(VideoReader):
    """The usual one, but for some files."""

    def __init__(self, path: Path, options: DecodingOptions) -> None:
        if any(part in path.name for part in (*SIGNALS, "hanging", "blocking", "exiting")):
            with (path.parent / f"{path.name}.opened").open("a") as file:
                file.write("once\n")
        for part, number in SIGNALS.items():
            if part in path.name:
                os.kill(os.getpid(), number)
        if "hanging" in path.name:
            let_an_hour_pass()
        if "hanging" in path.name or "blocking" in path.name:
            time.sleep(3600)
        if "exiting" in path.name:
            os._exit(3)
        super().__init__(path, options)


def let_an_hour_pass() -> None:
    """Let the loader believe that this worker has been reading for as long. Were the limit so short
    that a test can wait for it, healthy reads would be beyond it too, where the machine is busy."""
    worker = get_worker_info()
    assert worker is not None
    dataset: Any = worker.dataset
    dataset.watch._table[worker.id, 1] -= 3600  # seconds


def main() -> None:
    for module in (open_video, examine):
        module.VideoReader = DeadlyReader  # type: ignore[attr-defined]
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
