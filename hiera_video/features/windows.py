"""Features of sliding windows over whole videos.

Axes: B windows, C channels, T H W, D width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from hiera_video.batch import ClipBatch
from hiera_video.config.clip_groups import ClipSettings, FeatureSettings
from hiera_video.config.groups import FeatureData, JobSettings
from hiera_video.data.failures import FailurePolicy
from hiera_video.data.loader import extraction_order, window_batches
from hiera_video.data.manifest import Manifest, open_manifest
from hiera_video.data.windows import VideoWindows, WindowBatch
from hiera_video.decoding.decoders import check_decoder
from hiera_video.errors import ConfigError
from hiera_video.features.manifest_columns import kept_columns
from hiera_video.features.writer import FeatureWriter, IndexEntry, VideoFeatures
from hiera_video.models.finite import FiniteOutputs
from hiera_video.models.hiera import HieraModel
from hiera_video.models.preprocessor import load_preprocessor
from hiera_video.runtime import make_accelerator, open_output, prepare_for_inference, progress_bar


class FeatureExtractor:
    """Computes the features of clips: the tokens of ``stage``, counted from 1, as a map
    ``(B, T, H, W, D)``; if ``stage`` is None, the pooled and normalised output ``(B, D)``."""

    def __init__(
        self,
        model: nn.Module,
        stage: int | None,
        clip: ClipSettings,
        accelerator: Accelerator,
        outputs: FiniteOutputs,
    ) -> None:
        self.model = model
        self.outputs = outputs
        self.stage = stage
        self.clip = clip
        self.accelerator = accelerator

    @torch.inference_mode()
    def __call__(self, clips: ClipBatch) -> Tensor:
        pixel_values = clips.normalized(self.accelerator.device, self.clip.mean, self.clip.std)
        with self.accelerator.autocast():
            output = self.model(pixel_values, output_hidden_states=self.stage is not None)
        if self.stage is None:
            features = output.pooler_output
        else:
            # Index 0 holds the embeddings.
            features = output.reshaped_hidden_states[self.stage]
        self.outputs.see(features, clips.rows)
        features = features.float().cpu()
        self.outputs.look(wait=True)  # no further wait: the features have arrived already
        return features


def extract_features(
    checkpoint: str,
    run: JobSettings,
    data: FeatureData,
    clip: Mapping[str, Any],
    features: FeatureSettings,
) -> None:
    """Extract the features of every video of ``data.manifest`` that has none yet.

    Args:
        clip: fields of :class:`ClipSettings` that replace the checkpoint's own.

    Raises:
        UserError: if settings and data do not fit, before devices and workers start; for the first
            bad video under ``data.on_error=raise``; and, for any ``data.on_error``, if features are
            not finite, before anything of their video is written.
    """
    check_decoder(data.decoder)
    model = HieraModel.from_pretrained(checkpoint)
    if (features.stage or 1) > len(model.config.depths):
        raise ConfigError(
            f"features.layer={features.layer}: the model has {len(model.config.depths)} stages"
        )
    extraction = Extraction(checkpoint, model, load_preprocessor(model, clip), run, data, features)
    manifest = open_manifest(data, "data.manifest", extraction.clip)
    manifest.check_frame_rate(data.exact_frame_rate)  # all windows have seconds
    with open_output(run.output_dir, data.index_dir) as output_dir:
        _extract_features(extraction, manifest, output_dir)


class Extraction(NamedTuple):
    """Everything that features depend on: a model, its clips, and settings; and its name."""

    checkpoint: str
    model: HieraModel
    clip: ClipSettings
    run: JobSettings
    data: FeatureData
    features: FeatureSettings

    def describe(self) -> dict[str, str]:
        """A description that is stored with features, and compared on a second run."""
        rate = self.data.frame_rate  # what was extracted before there were rates stays valid
        return {
            **({"frame_rate": str(rate)} if rate else {}),
            "weights": _digest(self.model),
            "decoder": self.data.decoder,
            "precision": self.run.precision,
            "layer": self.features.layer,
            "window_seconds": str(self.features.window_seconds),
            "stride_seconds": str(self.features.stride_seconds),
            "clip": self.clip.model_dump_json(),
        }


def _extract_features(extraction: Extraction, manifest: Manifest, output_dir: Path) -> None:
    """Extract into ``output_dir``, which is locked against other runs."""
    checkpoint, model, clip, run, data, settings = extraction
    columns = kept_columns(manifest.path)
    writer = FeatureWriter(output_dir, extraction.describe())
    writer.check_locations(manifest)
    failures = FailurePolicy(data.on_error, output_dir)
    # All processes wait for the last one, which may have hours of video left.
    accelerator = make_accelerator(run, longest_wait=timedelta(days=1))
    if accelerator.is_main_process:
        failures.forget()
    accelerator.wait_for_everyone()

    # All processes share the search for finished videos; then the unfinished ones are divided.
    share = range(accelerator.process_index, len(manifest), accelerator.num_processes)
    finished = writer.find_finished(manifest, share)
    unfinished = sorted(gather_object([row for row, entry in finished.items() if entry is None]))
    entries = [entry for entry in finished.values() if entry is not None]
    windows = VideoWindows(
        manifest,
        extraction_order(
            unfinished,
            settings.batch_size,
            accelerator.num_processes,
            accelerator.process_index,
        ),
        clip,
        data.decoding(run.output_dir),
        window_seconds=settings.window_seconds,
        stride_seconds=settings.stride_seconds,
        batch_size=settings.batch_size,
        key_prefix="features.",
    )
    prepared = prepare_for_inference(model, accelerator)
    outputs = FiniteOutputs(
        prepared,
        f"features (features.layer={settings.layer})",
        lambda row: str(manifest[row].file),
    )
    extractor = FeatureExtractor(prepared, settings.stage, clip, accelerator, outputs)
    entries += _extract(
        extractor,
        window_batches(windows, data, accelerator.device),
        manifest,
        writer,
        failures,
    )
    entries = gather_object(entries)
    if accelerator.is_main_process:
        writer.write_index(entries, checkpoint, columns)
        failed = sum(entry.reason is not None for entry in entries)
        print(
            f"{len(entries)} videos: {len(unfinished) - failed} extracted, "
            f"{len(entries) - len(unfinished)} were there already, {failed} failed  -> {output_dir}"
        )
        if summary := failures.summary():
            print(summary)
    accelerator.end_training()


def _extract(
    extractor: FeatureExtractor,
    batches: Iterator[WindowBatch],
    manifest: Manifest,
    writer: FeatureWriter,
    failures: FailurePolicy,
) -> Iterator[IndexEntry]:
    """Run the model on all windows; write each video after its last window."""
    extractor.model.eval()
    pending: dict[int, VideoFeatures] = {}
    is_quiet = not extractor.accelerator.is_main_process
    bar = progress_bar(desc="extract", unit="window", disable=is_quiet)
    for batch in batches:
        clips = batch.clips
        if len(clips):
            features = extractor(clips)
            for i, row in enumerate(clips.rows.tolist()):
                number, total = batch.numbers[i], batch.totals[i]
                if number == 0:
                    pending[row] = VideoFeatures(total, features.shape[1:])
                video = pending[row]
                video.features[number] = features[i]
                video.starts[number] = clips.start_seconds[i]
                video.ends[number] = clips.end_seconds[i]
                if number == total - 1:
                    yield writer.write(manifest[row], pending.pop(row))
            bar.update(len(clips))
        failures.handle(clips)
        for failure in clips.failures:
            pending.pop(failure.row, None)
            path = manifest[failure.row].path
            yield IndexEntry(failure.row, path, None, 0, [], failure.reason)
    bar.close()


def _digest(model: nn.Module) -> str:
    """A fingerprint of the weights, independent of the file that they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
