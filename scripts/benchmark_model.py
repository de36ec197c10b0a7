"""Compare the models' speed and memory with the official package's, on the same weights.

    python scripts/benchmark_model.py [--turns 5] [--clips N]

Both take turns in one process, so that a machine whose speed drifts slows both; the ratio is that
of the medians. A GPU is idle for most of a step on one or two clips, which then measures how fast
Python is: give it more (`--clips 32`). Peak memory is that of a process of its own for each. Needs
`hiera-transformer` (extra `test`). Prints Markdown rows for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiera_video import create_model
from hiera_video.models.mask_units import UnitMask

warnings.filterwarnings("ignore", category=FutureWarning)  # of timm, which the package imports
import hiera  # noqa: E402

Step = Callable[[], object]
TASKS = {
    "inference": "Hiera-B 16x224, inference",
    "pretraining": "MAE Hiera-B 16x224, mask 0.9, forward + backward",
}
#: Clips per step, unless they are given.
NUM_CLIPS = {"inference": 1, "pretraining": 2}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
NUM_UNITS = 392


def make_step(task: str, who: str, num_clips: int, device: torch.device) -> Step:
    """One step of a package's model; weights, pixels and mask are the same for both packages."""
    torch.manual_seed(0)
    name = "hiera_base_16x224" if task == "inference" else "mae_hiera_base_16x224"
    model: Any = getattr(hiera, name)(pretrained=False)
    if who == "ours":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.pth"
            torch.save({"model_state": model.state_dict()}, path)
            overrides = {} if task == "inference" else {"mask_ratio": 0.9}
            model = create_model(name, pretrained=path, **overrides)
    model.to(device).train(task == "pretraining")
    clips = torch.randn(num_clips, 3, 16, 224, 224, device=device)
    if task == "inference":
        return torch.inference_mode()(lambda: model(clips))
    noise = torch.rand(num_clips, NUM_UNITS, device=device)
    if who == "ours":
        return lambda: _backward(model, model(clips, noise=noise).loss)
    mask = UnitMask.from_noise(noise, 0.9).keep_mask
    return lambda: _backward(model, model(clips, mask_ratio=0.9, mask=mask)[0])


def _backward(model: torch.nn.Module, loss: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    loss.backward()


def measure(step: Step, precision: str, device: torch.device) -> float:
    """Seconds of one step."""
    begin = time.perf_counter()
    with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32"):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def peak_memory_gib(task: str, who: str, precision: str, num_clips: int) -> float:
    """Peak memory of a fresh process that does two steps."""
    which = f"{task}/{who}/{precision}"
    command = [sys.executable, __file__, "--peak-of", which, "--clips", str(num_clips)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak_memory(which: str, num_clips: int, device: torch.device) -> None:
    task, who, precision = which.split("/")
    step = make_step(task, who, num_clips, device)
    for _ in range(2):
        measure(step, precision, device)
    if device.type == "cuda":
        print(torch.cuda.max_memory_allocated() / 2**30)
    else:
        # Not getrusage: what it says of a child begins with its parent's peak.
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20)  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clips", type=int, help="per step; default: 1 and, in training, 2")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.peak_of:
        print_peak_memory(options.peak_of, options.clips, device)
        return
    where = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {where or 'CPU'}\n")
    print("| | precision | official, s | ours, s | speed | official, GiB | ours, GiB |")
    print("|---|---|---|---|---|---|---|")
    for task, title in TASKS.items():
        num_clips = options.clips or NUM_CLIPS[task]
        packages = ("official", "ours")
        steps = {who: make_step(task, who, num_clips, device) for who in packages}
        for precision in PRECISIONS:
            seconds: dict[str, list[float]] = {"official": [], "ours": []}
            for turn in range(options.turns + 1):  # the first one warms up
                for who, times in seconds.items():
                    elapsed = measure(steps[who], precision, device)
                    if turn:
                        times.append(elapsed)
            official, ours = (statistics.median(seconds[who]) for who in packages)
            memory = [peak_memory_gib(task, who, precision, num_clips) for who in packages]
            print(
                f"| {title}, {num_clips} clip{'s' * (num_clips > 1)} | {precision} "
                f"| {official:.3g} | {ours:.3g} | {official / ours:.2f}x "
                f"| {memory[0]:.2f} | {memory[1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
