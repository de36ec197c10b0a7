"""Values that are not finite: what says something of videos stops, and names one and a cause."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hiera_video import HieraConfig, HieraForPreTraining
from hiera_video.commands.evaluate import EvaluateRun
from hiera_video.commands.evaluate import start as evaluate
from hiera_video.commands.features import FeatureRun
from hiera_video.commands.features import start as extract_features
from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.machinery import parse_settings
from hiera_video.errors import CheckpointError, NotFiniteError
from hiera_video.evaluation.predict import predict
from hiera_video.models.convert import convert
from hiera_video.models.finite import FiniteOutputs, finite_clips
from hiera_video.models.preprocessor import dump_preprocessor
from hiera_video.training.run import train
from hiera_video.training.settings import TrainRun
from hiera_video.visualization.reconstruction import reconstruct_videos
from tests.forked import run_forked
from tests.models.small import DECODER, VIDEO
from tests.support import (
    TINY_ARGUMENTS,
    TinyDataset,
    error_line,
    files_below,
    read_manifest,
)

FIRST_STAGE = "hiera.encoder.stages.0.0.attention.qkv.weight"


def spoil(checkpoint: Path, folder: Path, value: float, name: str = FIRST_STAGE) -> Path:
    """A copy of a checkpoint with one value of a weight that is not finite."""
    shutil.copytree(checkpoint, folder)
    weights = {n: t.clone() for n, t in load_file(folder / "model.safetensors").items()}
    weights[name].view(-1)[2] = value
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.fixture
def spoilt(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return spoil(tiny_checkpoint, tmp_path / "spoilt", math.nan)


@pytest.fixture
def video(tiny_dataset: TinyDataset) -> Path:
    """The first one of the validation set."""
    return tiny_dataset.folder / read_manifest(tiny_dataset.val)[0][0]


def arguments_of(checkpoint: Path, output_dir: Path, *more: str) -> list[str]:
    common = [f"checkpoint={checkpoint}", f"output_dir={output_dir}", "data.on_error=skip"]
    return [*common, "data.num_workers=0", *more]


@pytest.mark.parametrize(
    ("value", "name"), [(math.nan, FIRST_STAGE), (-math.inf, "classifier.bias")]
)
def test_an_evaluation_stops_and_writes_nothing(
    tiny_checkpoint: Path,
    tiny_dataset: TinyDataset,
    video: Path,
    tmp_path: Path,
    value: float,
    name: str,
) -> None:
    """Also where a class has the logit -inf, which makes probabilities that look sound."""
    spoilt = spoil(tiny_checkpoint, tmp_path / "spoilt", value, name)
    more = [f"data.val.manifest={tiny_dataset.val}", "evaluate.num_clips=2", "evaluate.num_crops=1"]
    run = parse_settings(EvaluateRun, arguments_of(spoilt, tmp_path / "out", *more))
    with pytest.raises(NotFiniteError) as caught:
        evaluate(run)
    size = load_file(spoilt / "model.safetensors")[name].numel()
    assert str(caught.value) == (
        f"{video}: the logits are not finite; the model is to blame, all clips of the batch are "
        f"like this; its weight {name} has 1 of {size} values that are not finite"
    )
    assert files_below(tmp_path / "out") == []


@pytest.mark.parametrize("layer", ["pooled", "stage1"])
def test_an_extraction_stops_and_leaves_no_features(
    spoilt: Path, tiny_dataset: TinyDataset, tmp_path: Path, layer: str
) -> None:
    more = [f"data.manifest={tiny_dataset.val}", f"features.layer={layer}"]
    run = parse_settings(FeatureRun, arguments_of(spoilt, tmp_path / "out", *more))
    with pytest.raises(
        NotFiniteError,
        match=rf"\.mp4: the features \(features\.layer={layer}\) are not finite.*; the model is "
        r"to blame.*; its weight encoder\.stages\.0\.0\.attention\.qkv\.weight has 1 of",
    ):
        extract_features(run)
    assert files_below(tmp_path / "out") == []


def test_a_prediction_ends_in_one_line_and_no_table(
    spoilt: Path, tiny_checkpoint: Path, video: Path
) -> None:
    result = run_forked("predict", "--checkpoint", spoilt, "--json", video)
    assert error_line(result).startswith(f"{video}: the logits are not finite; the model is to")
    assert result.stdout == ""
    (sound,) = predict(str(tiny_checkpoint), [video], EvaluateSettings(num_clips=1, num_crops=1))
    assert sum(probability for _, probability in sound.classes) == pytest.approx(1)


def test_a_reconstruction_stops(video: Path, tmp_path: Path) -> None:
    """Also for an infinite colour, which would be shown as white."""
    model = HieraForPreTraining(HieraConfig(**VIDEO, **DECODER))
    frames, side, _ = model.config.image_size
    model.preprocessor = dump_preprocessor(
        ClipSettings(num_frames=frames, crop_size=side, stride=1)
    )
    bias = [name for name, weight in model.named_parameters() if weight.ndim == 1][-1]
    nn.init.constant_(model.get_parameter(bias), math.inf)
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(NotFiniteError) as caught:
        list(reconstruct_videos(str(tmp_path / "model"), [video]))
    assert str(caught.value).startswith(f"{video}: the predicted pixels are not finite; the model")


def test_a_conversion_is_refused(spoilt: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"weight {FIRST_STAGE} has 1 of \d+ values that"):
        convert(spoilt, tmp_path / "converted", "official")
    assert not (tmp_path / "converted").exists()


def clips_of_videos(rows: list[int]) -> tuple[FiniteOutputs, Tensor, Tensor]:
    """Sound outputs of three clips a video."""
    outputs = FiniteOutputs(nn.Linear(2, 2), "logits", lambda row: f"{row}.mp4")
    clips = torch.tensor(rows).repeat_interleave(3)
    return outputs, torch.ones(len(clips), 4, 5), clips


def test_where_some_clips_are_not_finite_they_are_named() -> None:
    outputs, values, rows = clips_of_videos([4, 7])
    outputs.see(values, rows)
    values[4, 2, 1] = math.inf
    with pytest.raises(NotFiniteError) as caught:
        outputs.see(values, rows)
    assert str(caught.value) == (
        "7.mp4: the logits are not finite; 5 of 6 clips of the batch are fine, this is not; all "
        "weights are finite, so numbers grew too large: try precision=fp32"
    )
    values[0] = math.nan
    with pytest.raises(NotFiniteError, match=r"4\.mp4: .* \(nor those of 1 more videos\); 4 of 6"):
        outputs.see(values, rows)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_value_counts(value: float, dtype: torch.dtype) -> None:
    output = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    output[1, 2, 3] = output[3, 0, 0] = value
    largest = torch.finfo(dtype).max
    output[0] = largest  # as large as can be is finite
    assert finite_clips(output).tolist() == output.isfinite().all(-1).all(-1).tolist()
    assert finite_clips(output[:0]).tolist() == []


def train_arguments(dataset: TinyDataset, output_dir: Path, *more: str) -> list[str]:
    return [
        *TINY_ARGUMENTS,
        f"data.train.manifest={dataset.train}",
        f"data.val.manifest={dataset.val}",
        f"output_dir={output_dir}",
        "data.num_workers=0",
        "trackers=[]",
        "train.epochs=1",
        "train.batch_size=12",
        *more,
    ]


def test_a_validation_stops(
    tiny_dataset: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forward: Callable[..., Tensor] = nn.Linear.forward

    def spoil_unless_training(self: nn.Linear, values: Tensor) -> Tensor:
        return forward(self, values) / (1 if self.training else 0)

    monkeypatch.setattr(nn.Linear, "forward", spoil_unless_training)
    run = parse_settings(TrainRun, train_arguments(tiny_dataset, tmp_path / "out"))
    with pytest.raises(NotFiniteError, match=r"val/.*: the logits are not finite.*all weights are"):
        train(run)
    log = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert not any("val/top1" in line for line in log)
    assert not (tmp_path / "out" / "best").exists()


@pytest.mark.parametrize("more", [[], ["train.ema_decay=0.9"]])
def test_weights_that_are_not_finite_are_not_saved(
    tiny_dataset: TinyDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
) -> None:
    """The loss of the step that spoils them is finite: only that of the next one would tell."""
    step: Callable[..., None] = torch.optim.AdamW.step
    steps = []

    def spoil_third_step(self: torch.optim.AdamW, *arguments: object) -> None:
        step(self, *arguments)
        steps.append(1)
        if len(steps) == 3:
            self.param_groups[-1]["params"][0].data.view(-1)[0] = math.inf

    monkeypatch.setattr(torch.optim.AdamW, "step", spoil_third_step)
    arguments = train_arguments(tiny_dataset, tmp_path / "out", "train.checkpoint_steps=2", *more)
    with pytest.raises(
        (CheckpointError, NotFiniteError), match=r"weight hiera\.\S+ has 1 of \d+ values that"
    ):
        train(parse_settings(TrainRun, [*arguments, "train.batch_size=12"]))
    names = [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()]
    assert names == ["step-00000002"]
    assert (tmp_path / "out" / "last").resolve().parent.name == "step-00000002"
