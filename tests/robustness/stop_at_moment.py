"""Runs a script of the repository unchanged, until it stops itself at a certain moment.

    stop_at_moment.py PATTERN NUMBER LATER SCRIPT [ARGUMENTS]

Python tells of events (``sys.audit``): files, imports, what is unpickled from data workers, and so
on. The moment is that of the NUMBER-th event in whose words, such as paths and modes, the regular
expression PATTERN is found, and LATER events after it. The script stops by SIGSTOP, and whoever
started it may kill it, or send it signals and let it go on: so no test has to be quick to meet a
moment. Of several processes only the main one stops.
"""

from __future__ import annotations

import os
import re
import runpy
import signal
import sys
import threading


class Stop:
    """An audit hook."""

    def __init__(self, pattern: str, number: int, later: int) -> None:
        self.pattern = re.compile(pattern)
        self.number, self.later = number, later
        self.process = os.getpid()
        self.lock = threading.Lock()

    def __call__(self, _: str, arguments: tuple[object, ...]) -> None:
        if os.getpid() != self.process:  # a data worker
            return
        with self.lock:
            if self.number > 0:
                words = (str(word) for word in arguments if isinstance(word, str | os.PathLike))
                self.number -= bool(self.pattern.search(" ".join(words)))
            elif self.later >= 0:
                self.later -= 1
            now = self.number == self.later == 0
            if now:
                self.later = -1
        if now:  # without the lock: this is an event, too
            os.kill(self.process, signal.SIGSTOP)


def main() -> None:
    pattern, number, later, *sys.argv = sys.argv[1:]
    if os.environ.get("RANK", "0") == "0":
        sys.addaudithook(Stop(pattern, int(number), int(later)))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
