"""``hiera-video``: what there is, what is set, and that it answers without importing torch."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import hiera_video
from hiera_video import cli
from hiera_video.cli import COMMANDS, GROUPS
from hiera_video.version import __version__
from tests.support import CPU_ENVIRONMENT, HANG_SECONDS, ROOT, TinyDataset, run_here

#: What takes seconds to import.
HEAVY = ["torch", "torchvision", "accelerate", "pyarrow", "av", "numpy", "matplotlib"]

#: Scripts, and the commands that they are.
SCRIPTS = {
    "train": "train",
    "pretrain": "pretrain",
    "evaluate": "evaluate",
    "extract_features": "features",
    "predict": "predict",
    "inspect_videos": "inspect",
    "make_shards": "prepare shards",
    "index_shards": "prepare index",
    "convert_checkpoint": "convert",
    "visualize_mae": "reconstruct",
}


def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[int, str, str]:
    """Exit status, output and errors of ``hiera-video WORDS``."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/hiera-video", *words])
    status: object = 0
    try:
        cli.main()
    except SystemExit as end:
        status = end.code or 0
    captured = capsys.readouterr()
    assert isinstance(status, int)
    return status, captured.out, captured.err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_what_there_is_in_groups_one_line_each(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text, errors = call(capsys, monkeypatch, *words)
    assert (status, errors) == (0, "")
    lines = text.splitlines()
    for title, commands in GROUPS.items():
        place = lines.index(f"{title}:")
        shown = lines[place + 1 : place + 1 + len(commands)]
        assert [line[2:18].strip() for line in shown] == list(commands)
    assert max(map(len, lines)) <= 80


def test_commands_of_two_words_are_shown_together(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["prepare"], ["prepare", "--help"]):
        status, text, _ = call(capsys, monkeypatch, *words)
        assert status == 0
        names = ["prepare folder", "prepare lists", "prepare shards", "prepare index"]
        assert [line[2:18].strip() for line in text.splitlines() if line[:2] == "  "] == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "trian: unknown command, did you mean train?"),
        (["prepare", "foldr"], "prepare foldr: unknown command, did you mean prepare folder?"),
        (["seed=3"], "seed=3: unknown command, valid: inspect, "),
    ],
)
def test_an_unknown_command_is_one_line_with_the_nearest(
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    status, text, errors = call(capsys, monkeypatch, *words)
    assert (status, text) == (2, "")
    assert errors.startswith(f"hiera-video: error: {message}")
    assert errors.count("\n") == 1


def test_the_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(capsys, monkeypatch, "--version")[:2] == (0, f"hiera-video {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_mistakes_of_every_command(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command.split()
    status, text, errors = call(capsys, monkeypatch, *words, "--help")
    assert (status, errors) == (0, "")
    assert text.startswith(f"usage: hiera-video {command} ")
    assert f"\nhiera-video {command}" in text, "an example"
    status, text, errors = call(capsys, monkeypatch, *words, "xyzzy=1")
    assert (status, text) == (2, "")
    assert errors.startswith(f"hiera-video {command}: error: ")
    assert "xyzzy" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_scripts_are_commands_by_another_name(
    script: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ROOT / "scripts" / f"{script}.py"
    assert run_here(path, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {script}.py ")
    settings = import_module(f"hiera_video.commands.{COMMANDS[command].module}").SETTINGS
    for flag in settings.flags:
        assert f"\n  {flag}" in text
    assert run_here(path, "xyzzy=1") == 2
    assert capsys.readouterr().err.startswith(f"{script}.py: error: ")
    assert len(path.read_text().splitlines()) <= 6


def test_it_is_installed_as_a_program() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.scripts]\nhiera-video = "hiera_video.cli:main"\n' in project


def test_nothing_heavy_is_imported_before_there_is_something_to_do() -> None:
    """By what there is, by the help and by a mistake of every command, and by an error's end."""
    program = """
import io, sys, contextlib
from hiera_video.cli import COMMANDS, main
for words in [[], *(c.split() + [w] for c in COMMANDS for w in ("--help", "xyzzy=1"))]:
    sys.argv = ["hiera-video", *words]
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main()
import hiera_video
from hiera_video import HieraConfig, __version__
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr.count("error: ") == len(COMMANDS)
    assert set(HEAVY) & set(done.stdout.split()) == set()


def test_public_names_are_there_when_they_are_wanted() -> None:
    assert set(hiera_video.__all__) <= set(dir(hiera_video))
    for name in hiera_video.__all__:
        assert getattr(hiera_video, name) is not None
    from hiera_video.models.hiera import HieraModel

    assert hiera_video.HieraModel is HieraModel
    with pytest.raises(AttributeError, match="'hiera_video' has no attribute 'HieraModell'"):
        _ = hiera_video.HieraModell
    with pytest.raises(ImportError, match="cannot import name 'HieraModell'"):
        exec("from hiera_video import HieraModell")


def start_module(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **CPU_ENVIRONMENT},
        timeout=HANG_SECONDS,
        check=False,
    )


def test_the_module_is_the_program() -> None:
    mistaken = start_module("-m", "hiera_video", "train", "sead=1", "output_dir=out")
    assert mistaken.returncode == 2
    assert mistaken.stderr == "hiera-video train: error: sead: unknown key, did you mean seed?\n"


@pytest.mark.long
def test_a_launcher_can_start_the_module(tiny_dataset: TinyDataset, tmp_path: Path) -> None:
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes=1", "-m")
    arguments = (f"data.train.manifest={tiny_dataset.train}", f"output_dir={tmp_path}/run")
    failed = start_module(
        *launcher, "hiera_video", "train", *arguments, "model.name=hiera_base_224"
    )
    assert (
        "hiera-video train: error: clip.num_frames=16: model.name=hiera_base_224" in failed.stderr
    )


def test_errors_of_several_processes_are_told_by_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by scripts: the others leave it time, and say what only they have found."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    monkeypatch.setenv("RANK", "1")
    assert call(capsys, monkeypatch, "train", "sead=1")[0] == 2
    assert waited == [20.0]
    monkeypatch.setenv("RANK", "0")
    assert call(capsys, monkeypatch, "train", "sead=1")[0] == 2
    assert len(waited) == 1


def test_files_are_bare_and_all_else_is_set(
    tiny_checkpoint: Path,
    tiny_dataset: TinyDataset,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same by keys and by the flags of the script."""
    video = next(tiny_dataset.folder.rglob("*.mp4"))
    common = ["predict", str(video)]
    by_keys = [f"checkpoint={tiny_checkpoint}", "json_lines=true", "clip.stride=3", "top_k=2"]
    by_keys += ["evaluate.num_clips=1", "evaluate.num_crops=1", "data.decoder=pyav"]
    by_flags = ["--checkpoint", str(tiny_checkpoint), "--json", "--clip", "stride=3"]
    by_flags += ["--top-k", "2", "--num-clips", "1", "--num-crops", "1", "--decoder", "pyav"]
    found = [call(capsys, monkeypatch, *common, *more) for more in (by_keys, by_flags)]
    assert found[0] == found[1]
    assert found[0][0] == 0
    assert str(video) in found[0][1]
