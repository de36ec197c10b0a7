"""A whole evaluation: from checkpoint and manifest to metrics and predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_video.config.clip_groups import ClipSettings, EvaluateSettings
from hiera_video.config.groups import EvaluateData, RunSettings
from hiera_video.data.class_labels import LabelEncoder
from hiera_video.data.class_list import CLASSES_FILE
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.data.target_numbers import TargetNumbers
from hiera_video.data.targets import TargetEncoder
from hiera_video.decoding.decoders import check_decoder
from hiera_video.errors import CheckpointError, ManifestError
from hiera_video.evaluation.report import Evaluation, predictions_table, write_evaluation
from hiera_video.evaluation.scores import Scorer
from hiera_video.labels import describe_order
from hiera_video.models.classification import HieraClassifier
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.models.registry import load_model
from hiera_video.runtime import make_accelerator, open_output, prepare_for_inference
from hiera_video.tasks.registry import trained_task
from hiera_video.tasks.task import Task

logger = logging.getLogger(__name__)


def load_trained(
    checkpoint: str, overrides: Mapping[str, Any]
) -> tuple[HieraClassifier, ClipSettings, list[str]]:
    """A trained classifier, the settings of its clips with ``overrides``, and its class names in
    index order.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or holds no classifier.
        ConfigError: if ``overrides`` do not fit.
    """
    model = load_model(checkpoint)
    if not isinstance(model, HieraClassifier):
        raise CheckpointError(
            f"{checkpoint}: holds a {type(model).__name__}, wanted a classifier: fine-tune it "
            f"first (hiera-video train init_from={checkpoint})"
        )
    clip = load_preprocessor(model, overrides)
    names = model.config.id2label or {}
    return model, clip, [names[index] for index in range(model.config.num_labels)]


def evaluate(
    checkpoint: str,
    run: RunSettings,
    data: EvaluateData,
    clip: Mapping[str, Any],
    views: EvaluateSettings,
) -> dict[str, Any]:
    """Score every video of ``data.val.manifest`` once; write the files; return the metrics.

    If the checkpoint has no class names (published weights often lack them), the names come from
    the manifest.

    Args:
        checkpoint: directory, file or hub id of a trained model.
        run: where to write, and how to compute.
        data: where videos are and how to read them.
        clip: fields of ``ClipSettings`` that replace the checkpoint's own.
        views: which views of a video are averaged.

    Raises:
        UserError: if settings, checkpoint and data do not fit together, before devices and workers
            start; and for the first bad video under ``data.on_error=raise``.
    """
    check_decoder(data.decoder)
    model, trained_clip, names = load_trained(checkpoint, clip)
    task, manifest = _open(model, names, trained_clip, data)
    views = views.of(trained_clip)
    settings = {  # all that figures depend on, but not how the work was divided
        "checkpoint": str(Path(checkpoint)),
        "manifest": str(manifest.path),
        "decoder": data.decoder,
        "precision": run.precision,
        "seed": run.seed,
        **views.model_dump(),
        "clip": trained_clip.model_dump(mode="json"),
    }
    with open_output(run.output_dir, data.index_dir) as output_dir:
        failures = FailurePolicy(data.on_error, output_dir)
        accelerator = make_accelerator(run)
        if accelerator.is_main_process:
            failures.forget()
        accelerator.wait_for_everyone()
        for note in _notes(task.targets):
            accelerator.print(note)
        decoding = data.decoding(output_dir)
        scorer = Scorer(manifest, task, views, data, run.seed, decoding, failures, accelerator)
        table = scorer.table(prepare_for_inference(model, accelerator))
        evaluation = Evaluation.of(task, table, settings)
        if accelerator.is_main_process:
            for doubt in evaluation.doubts:
                logger.warning("%s: %s", manifest.path, doubt)
            write_evaluation(output_dir, evaluation, predictions_table(task, table))
            print(f"{evaluation.summary()}  -> {output_dir}")
            if summary := failures.summary():
                print(summary)
        accelerator.end_training()
    return evaluation.metrics


def _open(
    model: HieraClassifier, names: list[str], clip: ClipSettings, data: EvaluateData
) -> tuple[Task, Manifest]:
    """The task that the model was trained for, and the manifest with that task's targets.

    Raises:
        ManifestError: if the manifest cannot be used, or does not fit the model.
        CheckpointError: if it does not say what its outputs are.
    """
    task = trained_task(model, names if model.config.has_label_names else None, clip)
    labels = task.targets
    if isinstance(labels, TargetNumbers) and len(labels.columns) != len(names):
        raise CheckpointError(
            f"{model.source}: predicts {len(names)} numbers, and does not say which columns of a "
            "manifest they are (id2label in config.json)"
        )
    manifest = open_manifest(data, "data.val.manifest", clip, targets=labels)
    if isinstance(labels, LabelEncoder) and len(labels.classes) != len(names):
        raise ManifestError(
            f"{manifest.path}: has {len(labels.classes)} classes, and the model has "
            f"{len(names)} without names: wanted a {CLASSES_FILE} with a name for each"
        )
    return task, manifest


def _notes(labels: TargetEncoder | None) -> list[str]:
    """Notes for the user about the labels of the manifest."""
    if not isinstance(labels, LabelEncoder):
        return []
    notes = [f"warning: {warning}" for warning in labels.warnings]
    if labels.order_is_assumed:
        order = describe_order(labels.classes)
        notes.insert(0, f"the weights have no class names; assumed: {order}")
    return notes
