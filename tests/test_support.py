"""What tests are made with: scripts that are started end with the test, whatever becomes of it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import psutil
import pytest

from tests.forked import start_forked
from tests.short_runs import LEFT_OUT, ShortRuns
from tests.support import HANG_SECONDS, Run, at_end_of_test, start_script, wait_until

#: A script whose processes start one more each, and never end.
SCRIPT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("started", flush=True)
time.sleep(600)
"""


def test_what_short_runs_leave_out_is_there(short_runs: ShortRuns) -> None:
    """Where it had another name, it would be drawn and counted after all."""
    short_runs.end()
    wholes = {place: getattr(import_module(place[0]), place[1]) for place in LEFT_OUT}
    short_runs.begin()
    for (module, name), instead in LEFT_OUT.items():
        assert wholes[module, name] is not instead
        assert getattr(import_module(module), name) is instead


@pytest.mark.parametrize(("how", "num_processes"), [("forked", 2), ("alone", 1), ("torchrun", 2)])
def test_what_a_test_leaves_behind_is_ended(how: str, num_processes: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run: Run
    if how == "forked":
        run = forked = start_forked(script, [], tmp_path / "log", num_processes)
        starters = [process.pid or 0 for process in forked.processes]
    else:
        run = process = start_script(script, num_processes=num_processes)
        starters = [process.pid]
    num_started = {"forked": 2, "alone": 1, "torchrun": 4}[how]

    def started() -> list[psutil.Process]:
        return [child for pid in starters for child in psutil.Process(pid).children(recursive=True)]

    wait_until(run, lambda: len(started()) == num_started)
    left = started()
    at_end_of_test.close()
    assert not run.is_running
    assert psutil.wait_procs(left, timeout=HANG_SECONDS)[1] == []


def test_a_run_that_ends_before_what_it_is_to_do_is_told_of_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such setting')")
    for run in (start_forked(script, [], tmp_path / "log"), start_script(script)):
        with pytest.raises(AssertionError, match=r"the run ended\n(.*\n)*no such setting"):
            wait_until(run, lambda: False)
