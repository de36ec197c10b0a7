"""A whole evaluation: checkpoint and manifest in, metrics and predictions out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_video.config.groups import ClipSettings, EvaluateSettings
from hiera_video.data.class_labels import ClassLabels
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.manifest import CLASSES_FILE, Manifest, open_manifest
from hiera_video.decoding.decoders import check_decoder
from hiera_video.errors import CheckpointError, ManifestError
from hiera_video.evaluation.metrics import VideoAccuracies, doubts
from hiera_video.evaluation.report import write_evaluation
from hiera_video.evaluation.views import Scorer, class_labels, gather_scores
from hiera_video.labels import describe_order
from hiera_video.models.classification import HieraClassifier
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.models.registry import load_model
from hiera_video.runtime import make_accelerator, open_output, prepare_for_inference
from hiera_video.training.settings import EvaluateRun

logger = logging.getLogger(__name__)


def load_trained(
    checkpoint: str, overrides: Mapping[str, Any]
) -> tuple[HieraClassifier, ClipSettings, list[str]]:
    """A trained classifier, what its clips are (but for ``overrides``), and its class names in
    index order.

    Raises:
        CheckpointError: if the checkpoint cannot be read, or holds no classifier.
        ConfigError: if ``overrides`` do not fit.
    """
    model = load_model(checkpoint)
    if not isinstance(model, HieraClassifier):
        raise CheckpointError(
            f"{checkpoint}: holds a {type(model).__name__}, wanted a classifier: fine-tune it "
            f"first (scripts/train.py init_from={checkpoint})"
        )
    clip = load_preprocessor(model, overrides)
    names = model.config.id2label or {}
    return model, clip, [names[index] for index in range(model.config.num_labels)]


def evaluate(run: EvaluateRun) -> dict[str, Any]:
    """Score every video of ``data.val.manifest`` once; write the files; return the metrics.

    Where the checkpoint has no class names, as published weights, the manifest's are taken.

    Raises:
        UserError: for anything that does not fit, before devices and workers start, and for the
            first bad video under ``data.on_error=raise``.
    """
    check_decoder(run.data.decoder)
    model, clip, classes = load_trained(run.checkpoint, run.clip)
    names = classes if model.config.has_label_names else None
    labels = ClassLabels(names)
    manifest = open_manifest(run.data, "data.val.manifest", clip, targets=labels)
    if len(labels.classes) != len(classes):
        raise ManifestError(
            f"{manifest.path}: has {len(labels.classes)} classes, and the model has "
            f"{len(classes)} without names: wanted a {CLASSES_FILE} with a name for each"
        )
    views = run.evaluate.of(clip)
    with open_output(run.output_dir, run.data.index_dir) as output_dir:
        return _evaluate(run, model, clip, views, manifest, output_dir)


def _evaluate(
    run: EvaluateRun,
    model: HieraClassifier,
    clip: ClipSettings,
    views: EvaluateSettings,
    manifest: Manifest,
    output_dir: Path,
) -> dict[str, Any]:
    """What :func:`evaluate` does when all is checked and the folder is its own."""
    failures = FailurePolicy(run.data.on_error, output_dir)
    accelerator = make_accelerator(run)
    if accelerator.is_main_process:
        failures.forget()
    accelerator.wait_for_everyone()
    labels = class_labels(manifest)
    if labels.order_is_assumed:
        order = describe_order(labels.classes)
        accelerator.print(f"the weights have no class names; assumed: {order}")
    for warning in labels.warnings:
        accelerator.print(f"warning: {warning}")
    scorer = Scorer(manifest, clip, views, run, failures, accelerator)
    accuracies = VideoAccuracies(manifest, accelerator.device)
    scored = []
    for videos in scorer(prepare_for_inference(model, accelerator)):
        accuracies.update(videos)
        scored.append((videos.rows.numpy(), videos.scores.cpu().numpy()))
    metrics = accuracies.compute()
    metrics["settings"] = _describe(run, clip, views, manifest)
    rows, scores = gather_scores(scored)
    if accelerator.is_main_process:
        warnings = doubts(metrics, manifest)
        for warning in warnings:
            logger.warning("%s: %s", manifest.path, warning)
        write_evaluation(output_dir, manifest, rows, scores, metrics, warnings)
        print(
            f"top-1 {metrics['top1']:.4f}  top-5 {metrics['top5']:.4f}  "
            f"{metrics['num_videos']} videos, {metrics['num_failed']} failed  -> {output_dir}"
        )
        if told := failures.summary():
            print(told)
    accelerator.end_training()
    return metrics


def _describe(
    run: EvaluateRun, clip: ClipSettings, views: EvaluateSettings, manifest: Manifest
) -> dict[str, Any]:
    """What the figures depend on; not how the work was divided."""
    return {
        "checkpoint": str(Path(run.checkpoint)),
        "manifest": str(manifest.path),
        "decoder": run.data.decoder,
        "precision": run.precision,
        "seed": run.seed,
        **views.model_dump(),
        "clip": clip.model_dump(mode="json"),
    }
