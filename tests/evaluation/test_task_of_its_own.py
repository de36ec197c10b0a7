"""A task with another metric: its figures are in every file, and nothing else knows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from hiera_video.batch import Failure
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.groups import DataSource, EvaluateData, RunSettings
from hiera_video.data.manifest import Manifest
from hiera_video.evaluation.report import (
    Evaluation,
    find_mistakes,
    predictions_table,
    render_report,
    write_evaluation,
)
from hiera_video.evaluation.run import evaluate
from hiera_video.evaluation.scores import gather_table
from hiera_video.tasks.registry import TASKS
from hiera_video.tasks.task import Criterion, ScoreTable, Shown, Task
from tests.support import TinyDataset, files_below, forget_accelerator, write_manifest


class Redness(Task):
    """How red videos are: the difference of the first two logits, measured by its spread."""

    best_by = Criterion("spread", higher_is_better=False)

    def __init__(self, classes: Sequence[str] | None, clip: ClipSettings) -> None:
        super().__init__(clip)

    def losses(
        self, model: nn.Module, pixel_values: Tensor, targets: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return {"loss": self.scores(model(pixel_values).logits).square().mean()}

    def scores(self, logits: Tensor) -> Tensor:
        return logits[:, :1] - logits[:, 1:2]

    def figures(self, table: ScoreTable) -> dict[str, Any]:
        named = zip(table.rows.tolist(), table.scores[:, 0].tolist(), strict=True)
        return {
            "spread": float(np.ptp(table.scores)) if len(table.rows) else None,
            "num_negative": int((table.scores < 0).sum()),
            "per_row": {f"row {row}": value for row, value in named},
        }


class SeenRedness(Redness):
    """The same, some of it, under other names."""

    shown = {  # noqa: RUF012
        "spread": Shown("largest difference"),
        "per_row": Shown("Redness of each video"),
    }


def make_table(folder: Path) -> ScoreTable:
    rows = [(f"{index}.mp4", "a") for index in range(4)]
    manifest = Manifest(write_manifest(folder / "videos.csv", rows))
    scores = np.array([[-0.5], [2.0], [1.0]], np.float32)
    failures = [Failure(2, str(manifest[2].file), "damaged")]
    return ScoreTable(manifest, np.array([0, 1, 3]), scores, failures)


def test_its_figures_are_in_every_file(tmp_path: Path) -> None:
    task, table = Redness(None, ClipSettings()), make_table(tmp_path)
    evaluation = Evaluation.of(task, table, {"seed": 3})
    assert evaluation.summary() == "spread 2.5000  num_negative 1  4 videos, 1 failed"
    (tmp_path / "out").mkdir()
    write_evaluation(tmp_path / "out", evaluation, predictions_table(task, table))
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == {
        "spread": 2.5,
        "num_negative": 1,
        "num_videos": 4,
        "num_failed": 1,
        "per_row": {"row 0": -0.5, "row 1": 2.0, "row 3": 1.0},
        "failed": [{"path": "2.mp4", "reason": "damaged"}],
        "settings": {"seed": 3},
    }
    columns = pq.read_table(tmp_path / "out/predictions.parquet").to_pydict()
    assert columns == {
        "path": ["0.mp4", "1.mp4", "2.mp4", "3.mp4"],
        "scores": [[-0.5], [2.0], None, [1.0]],
    }
    page = (tmp_path / "out/report.html").read_text()
    for text in ("<div>2.5<span>spread</span>", "<div>1<span>num_negative</span>", "per_row"):
        assert text in page
    for text in ("top-1", "class", "mistakes", "%</td>"):
        assert text not in page.replace('class="', "")


def test_it_says_what_is_shown_and_how(tmp_path: Path) -> None:
    evaluation = Evaluation.of(SeenRedness(None, ClipSettings()), make_table(tmp_path), {})
    assert evaluation.summary() == "largest difference 2.5000  4 videos, 1 failed"
    page = render_report(evaluation)
    assert "<div>2.5<span>largest difference</span>" in page
    assert "<h2>Redness of each video</h2>" in page
    assert "num_negative" not in page
    widths = [part.split("%")[0] for part in page.split('<i style="width:')[1:]]
    assert widths == ["100.0", "50.0"]  # of the largest; there is no bar of a negative number


def test_a_whole_evaluation_of_it(
    tiny_dataset: TinyDataset,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(TASKS, "single_label", SeenRedness)
    metrics = evaluate(
        str(tiny_checkpoint),
        RunSettings(output_dir=tmp_path / "out"),
        EvaluateData(val=DataSource(manifest=tiny_dataset.val), num_workers=0),
        {},
        EvaluateSettings(num_clips=2, num_crops=1),
    )
    forget_accelerator()
    assert list(metrics)[:5] == ["spread", "num_negative", "num_videos", "num_failed", "per_row"]
    assert len(metrics["per_row"]) == 9
    told = f"largest difference {metrics['spread']:.4f}  9 videos, 0 failed  -> {tmp_path / 'out'}"
    assert told in capsys.readouterr().out.splitlines()
    assert files_below(tmp_path / "out") == ["metrics.json", "predictions.parquet", "report.html"]
    values = pq.read_table(tmp_path / "out/predictions.parquet")["scores"].to_pylist()
    assert metrics["spread"] == pytest.approx(max(values)[0] - min(values)[0])


def test_without_a_figure_to_measure_it_is_said(tmp_path: Path) -> None:
    table = make_table(tmp_path)
    nothing = ScoreTable(table.manifest, table.rows[:0], table.scores[:0], table.failures)
    evaluation = Evaluation.of(SeenRedness(None, ClipSettings()), nothing, {})
    assert evaluation.summary() == "largest difference undefined  4 videos, 1 failed"
    assert "<div>undefined<span>largest difference</span>" in render_report(evaluation)


def test_scores_are_four_bytes_each_and_in_manifest_order(tmp_path: Path) -> None:
    manifest = make_table(tmp_path).manifest
    failures = [Failure(3, "3.mp4", "x"), Failure(1, "1.mp4", "y")]
    scores = torch.tensor([[0.4, 0.6], [0.2, 0.8]])
    table = gather_table(manifest, [2, 0], scores, failures)
    assert table.rows.tolist() == [0, 2]
    assert table.scores.dtype == np.float32
    assert table.scores[:, 0].tolist() == pytest.approx([0.2, 0.4])
    assert [failure.row for failure in table.failures] == [1, 3]
    nothing = gather_table(manifest, [], torch.empty(0, 0), failures)
    assert (nothing.rows.shape, len(nothing.scores)) == ((0,), 0)


def test_the_report_escapes_names_and_reasons() -> None:
    metrics = {
        "top1": 0.5,
        "num_videos": 2,
        "num_failed": 1,
        "per_class": {"<b>bold</b>": 0.5, "empty": None},
        "failed": [{"path": "<script>alert(1)</script>.mp4", "reason": "a < b & c"}],
        "settings": {"checkpoint": "<i>"},
    }
    shown = {"top1": Shown("<b>", True), "per_class": Shown("<b>", True)}
    evaluation = Evaluation(metrics, shown, ["<b>"])
    page = render_report(evaluation, [("<b>bold</b>", "other", 3)])
    assert "<script>" not in page
    assert page.count("<b>") == page.count("<b>Note:</b>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.mp4" in page
    assert "a &lt; b &amp; c" in page
    assert "no video" in page
    assert "<title>Evaluation: &lt;b&gt; 50.00 %</title>" in page


def test_mistakes_are_counted_where_predictions_are_names() -> None:
    table = pa.table({"label": list("aabba"), "prediction": ["b", "b", "a", "b", None]})
    assert find_mistakes(table) == [("a", "b", 2), ("b", "a", 1)]
    assert find_mistakes(pa.table({"label": [["a"]], "prediction": [["b"]]})) == []
    assert find_mistakes(pa.table({"scores": [1.0]})) == []
