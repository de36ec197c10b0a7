"""Training our models with transformers: its Trainer, losses, and checkpointed activations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor
from torch.utils.data import Dataset
from transformers import trainer as trainer_module

import hiera_video.integrations.transformers as integration
from hiera_video import load_model
from hiera_video.errors import ConfigError
from tests.integrations.small import FIELDS, saved_model
from tests.models.small import clips


class TwoKinds(Dataset[dict[str, Tensor]]):
    """Bright clips and dark ones."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        noise = torch.randn(3, 4, 64, 64, generator=torch.Generator().manual_seed(index))
        label = index % 2
        return {"pixel_values": noise / 4 + 2 * label - 1, "labels": torch.tensor(label)}


def test_trainer_trains_and_its_checkpoint_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The repository's folder `datasets` is on the path of tests, and looks like that package.
    monkeypatch.setattr(trainer_module, "is_datasets_available", lambda: False)
    saved_model("HieraForVideoClassification", tmp_path / "start")
    model = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path / "start")
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path / "run"),
        max_steps=8,
        per_device_train_batch_size=8,
        learning_rate=3e-3,
        logging_steps=1,
        save_steps=8,
        gradient_checkpointing=True,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_num_workers=0,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=TwoKinds())
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    predicted = trainer.predict(TwoKinds())
    assert predicted.predictions.shape == (16, 3)
    assert (predicted.predictions.argmax(1) == predicted.label_ids).all()
    ours = load_model(tmp_path / "run/checkpoint-8")
    assert ours.config.id2label == {0: "jumping", 1: "running", 2: "still"}
    with torch.no_grad():
        torch.testing.assert_close(ours(clips()).logits, model.eval()(clips()).logits)


def test_checkpointed_activations_give_the_same_gradients() -> None:
    torch.manual_seed(0)
    config = integration.HieraVideoConfig(**FIELDS["HieraForVideoClassification"])
    model = integration.HieraVideoForVideoClassification(config).train()

    def gradients() -> list[Tensor]:
        model.zero_grad()
        model(clips(), labels=torch.tensor([0, 1])).loss.backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    usual = gradients()
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    assert all(stage.gradient_checkpointing for stage in model.hiera.encoder.stages)
    torch.testing.assert_close(gradients(), usual)
    model.activation_checkpointing_disable()
    assert not model.is_activation_checkpointing


@pytest.mark.parametrize(
    ("problem_type", "labels", "loss"),
    [
        (None, torch.tensor([0, 2]), F.cross_entropy),
        ("single_label_classification", torch.tensor([0, 2]), F.cross_entropy),
        (None, torch.tensor([[0.0, 1, 1], [1, 0, 0]]), F.binary_cross_entropy_with_logits),
        (
            "multi_label_classification",
            torch.tensor([[0.0, 1, 1], [1, 0, 0]]),
            F.binary_cross_entropy_with_logits,
        ),
        ("regression", torch.tensor([[0.0, 1, 1], [1, 0, 0]]), F.mse_loss),
    ],
)
def test_losses_follow_the_problem_type(problem_type, labels, loss, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    saved_model("HieraForVideoClassification", tmp_path)
    model = transformers.AutoModelForVideoClassification.from_pretrained(
        tmp_path, problem_type=problem_type
    )
    output = model(clips(), labels=labels)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))
    model.save_pretrained(tmp_path / "saved")
    load_model(tmp_path / "saved")


def test_one_label_is_regression_and_none_has_no_loss() -> None:
    fields = {**FIELDS["HieraForVideoClassification"], "id2label": {0: "height"}}
    model = integration.HieraVideoForVideoClassification(integration.HieraVideoConfig(**fields))
    labels = torch.tensor([0.5, 1.5])
    output = model.eval()(clips(), labels=labels)
    torch.testing.assert_close(output.loss, F.mse_loss(output.logits.squeeze(1), labels))
    config = integration.HieraVideoConfig(**{**fields, "id2label": None, "num_labels": 0})
    model = integration.HieraVideoForVideoClassification(config).eval()
    assert model(clips()).logits.shape == (2, 192)
    with pytest.raises(ConfigError, match="num_labels=0, no classifier"):
        model(clips(), labels=labels)
