"""A reader that dies or hangs on files with certain names, as a broken decoder does.

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

from hiera_video.decoding import open_video
from hiera_video.decoding.options import DecodingOptions
from hiera_video.decoding.reader import VideoReader

#: What happens where a file's name has this in it. (torch reports a segmentation fault on standard
#: error itself, besides.)
SIGNALS = {"killed": signal.SIGKILL, "aborted": signal.SIGABRT, "crashed": signal.SIGSEGV}


class DeadlyReader(VideoReader):
    """The usual one, but for some files."""

    def __init__(self, path: Path, options: DecodingOptions) -> None:
        for part, number in SIGNALS.items():
            if part in path.name:
                os.kill(os.getpid(), number)
        if "hanging" in path.name:
            time.sleep(600)
        if "exiting" in path.name:
            os._exit(3)
        super().__init__(path, options)


def main() -> None:
    open_video.VideoReader = DeadlyReader  # type: ignore[misc, assignment]
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
