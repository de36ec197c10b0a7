"""The sizes in ``docs/scaling.md`` are those of the models; Accelerate reads the files it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from hiera_video import create_model
from tests.support import ROOT


def table(name: str) -> dict[str, list[str]]:
    """The rows of the table whose header has this text in its first two cells, by model."""
    text = (ROOT / "docs" / "scaling.md").read_text()
    (body,) = re.findall(
        rf"^\|[^|]*\|? ?{name}[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]
    names = [f"hiera_{row[0].partition(',')[0]}_16x224" for row in rows]
    prefixes = [""] * 4 + ["mae_"] * 4
    return {prefix + n: row[1:] for prefix, n, row in zip(prefixes, names, rows, strict=True)}


@pytest.mark.parametrize("name", list(table("per GPU")))
def test_checkpoints_and_gradients(name: str) -> None:
    overrides: dict[str, Any] = {} if name.startswith("mae_") else {"num_labels": 400}
    with torch.device("meta"):
        model = create_model(name, **overrides)
    size = sum(parameter.numel() for parameter in model.parameters())
    cells = table("per GPU")[name]
    assert float(cells[0]) == pytest.approx(size / 1e6, abs=0.051)
    assert float(cells[-2]) == pytest.approx(12 * size / 1e9, abs=0.0051)
    assert float(cells[-1]) == pytest.approx(16 * size / 1e9, abs=0.0051)
    sent = [float(cell) for cell in table("DDP, 1 GPU")[name]]
    expected = [2 * (n - 1) / n * 4 * size / 1e9 for n in (1, 8, 64, 512)]
    expected += [3 * 63 / 64 * 4 * size / 1e9]
    expected += [2 * (m - 1) / m * 4 * size / 8e9 for m in (8, 64)]
    assert sent == pytest.approx(expected, abs=0.0051)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "accelerate").iterdir()), ids=str)
def test_accelerate_reads_its_files(path: Path) -> None:
    """It refuses unknown keys. Each file is named in the docs."""
    config = load_config_from_file(str(path))
    assert config.num_processes >= 1
    assert config.mixed_precision == "no"
    assert path.name in (ROOT / "docs" / "scaling.md").read_text()
    if "fsdp" in path.name:
        assert config.fsdp_config["fsdp_version"] == 2
        assert config.fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == "Block"
