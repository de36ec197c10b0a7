"""A whole evaluation: checkpoint and manifest in, metrics and predictions out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiera_video.config.groups import ClipSettings, EvaluateData, EvaluateSettings, RunSettings
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.manifest import CLASSES_FILE, Manifest, open_manifest
from hiera_video.decoding.decoders import check_decoder
from hiera_video.errors import ManifestError
from hiera_video.evaluation.metrics import VideoAccuracies, doubts
from hiera_video.evaluation.report import write_evaluation
from hiera_video.evaluation.views import Scorer, gather_scores
from hiera_video.labels import describe_order
from hiera_video.models.classification import HieraClassifier
from hiera_video.models.loading import load_classifier
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.runtime import make_accelerator, open_output, prepare_for_inference

logger = logging.getLogger(__name__)


def load_trained(
    checkpoint: str, overrides: Mapping[str, Any]
) -> tuple[HieraClassifier, ClipSettings, list[str]]:
    """A trained classifier, what its clips are (but for ``overrides``), and its class names in
    index order."""
    model = load_classifier(checkpoint)
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

    Where the checkpoint has no class names, as published weights, the manifest's are taken.

    Args:
        clip: fields of :class:`ClipSettings` in place of the checkpoint's own.

    Raises:
        UserError: for anything that does not fit, before devices and workers start, and for the
            first bad video under ``data.on_error=raise``.
    """
    check_decoder(data.decoder)
    model, own_clip, classes = load_trained(checkpoint, clip)
    names = classes if model.config.has_label_names else None
    manifest = open_manifest(data, "data.val.manifest", own_clip, classes=names)
    if len(manifest.classes) != len(classes):
        raise ManifestError(
            f"{manifest.path}: has {len(manifest.classes)} classes, and the model has "
            f"{len(classes)} without names: wanted a {CLASSES_FILE} with a name for each"
        )
    described = {
        "checkpoint": str(Path(checkpoint)),
        "manifest": str(manifest.path),
        "decoder": data.decoder,
        "precision": run.precision,
        "seed": run.seed,
        **views.of(own_clip).model_dump(),
        "clip": own_clip.model_dump(mode="json"),
    }
    with open_output(run.output_dir, data.index_dir) as output_dir:
        return _evaluate(
            run, data, model, own_clip, views.of(own_clip), manifest, output_dir, described
        )


def _evaluate(
    run: RunSettings,
    data: EvaluateData,
    model: HieraClassifier,
    clip: ClipSettings,
    views: EvaluateSettings,
    manifest: Manifest,
    output_dir: Path,
    described: dict[str, Any],
) -> dict[str, Any]:
    """What :func:`evaluate` does when all is checked and the folder is its own."""
    failures = FailurePolicy(data.on_error, output_dir)
    accelerator = make_accelerator(run)
    if accelerator.is_main_process:
        failures.forget()
    accelerator.wait_for_everyone()
    if manifest.order_is_assumed:
        order = describe_order(manifest.classes)
        accelerator.print(f"the weights have no class names; assumed: {order}")
    for warning in manifest.warnings:
        accelerator.print(f"warning: {warning}")
    scorer = Scorer(manifest, clip, views, run, data, failures, accelerator)
    accuracies = VideoAccuracies(manifest, accelerator.device)
    scored = []
    for videos in scorer(prepare_for_inference(model, accelerator)):
        accuracies.update(videos)
        scored.append((videos.rows.numpy(), videos.scores.cpu().numpy()))
    metrics = accuracies.compute()
    metrics["settings"] = described
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
