"""The settings that a run takes over from the weights that it starts from, ``init_from``.

Weights bring their architecture, and the settings of the clips that they were trained on. Both are
defaults: whatever the recipe or the command line sets takes precedence, unless the weights could
not be used with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from hiera_video.config.clip_groups import ClipSettings
from hiera_video.config.help import is_constant
from hiera_video.errors import CheckpointError, ConfigError
from hiera_video.models.config import HieraConfig
from hiera_video.models.inflate import video_fields
from hiera_video.models.layouts import Checkpoint, read_checkpoint
from hiera_video.models.preprocessor import known_clip
from hiera_video.models.variants import (
    VARIANTS,
    VariantName,
    parse_name,
    published_variant,
    variant_fields,
)
from hiera_video.training.settings import TrainingRun

R = TypeVar("R", bound=TrainingRun)

#: Fields that weights fit in one value only, or would mean something else with another one.
FIXED = (
    "embed_dim",
    "depths",
    "num_heads",
    "embed_dim_multiplier",
    "mlp_ratio",
    "num_channels",
    "patch_size",
    "query_stride",
    "masked_unit_size",
    "separate_position_embeddings",
    "skip",
    "layer_scale_init",
)
#: The same, from pre-training to pre-training: other models leave fusion and decoder out.
FIXED_IN_PRETRAINING = (
    "num_query_pool",
    "decoder_hidden_size",
    "decoder_depth",
    "decoder_num_heads",
)
#: Fields of the architecture that may change: position tables are resized, or no weight depends on
#: them. (Of ``global_position_size``, only the value; not whether there is one.)
FREE = (
    "patch_stride",
    "patch_padding",
    "masked_unit_attention",
    "hidden_act",
    "layer_norm_eps",
    "global_position_size",
    "global_position_antialias",
    "window_units",
    "global_attention_blocks",
)
_PER_AXIS = ("patch_size", "query_stride", "masked_unit_size")
#: Settings that a model of clips takes over from image weights.
_FROM_IMAGES = ("crop_size", "mean", "std")


class Start(NamedTuple):
    """The weights that a run starts from.

    Attributes:
        source: where they were read, for messages.
        notes: lines for the run's summary: settings that the weights bring, or that differ.
        resumes: whether they are the run's own, from a checkpoint that it goes on from.
        prefix: the beginning of the keys of this model: ``images.`` for the model of images.
    """

    source: str
    checkpoint: Checkpoint
    notes: list[str]
    resumes: bool = False
    prefix: str = ""


def start_run(run: R, prefix: str = "") -> tuple[R, Start | None]:
    """Read ``init_from``, and fill the settings that ``run`` leaves open from it.

    Args:
        prefix: the beginning of the run's keys for users: ``images.`` for the side of images.

    Returns:
        The completed run and its weights; without ``init_from``, ``run`` itself and None.

    Raises:
        CheckpointError: if ``init_from`` cannot be read, or does not fit what ``run`` sets.
        ConfigError: for an unknown model, or if settings of clips do not fit together.
    """
    try:
        parse_name(run.model.name)
    except ConfigError as error:
        raise ConfigError(f"{prefix}model.name={error}") from None
    if run.init_from is None:
        return run, None
    given = run.model.overrides
    checkpoint = read_checkpoint(run.init_from, hints={"num_heads": _known_heads(run)})
    takes_clips = _takes_clips(run, checkpoint.config)
    name = run.model.name
    if "name" not in run.model.model_fields_set:
        name = _fitting_name(name, checkpoint.config, takes_clips)
    weights = Start(run.init_from, checkpoint, [], prefix=prefix)
    taken = _take_architecture(run, name, weights)
    from_images = takes_clips and not checkpoint.config.is_video
    known = known_clip(checkpoint, run.init_from)
    if from_images:
        known = {key: known[key] for key in _FROM_IMAGES if key in known}
    try:
        clip = _with_defaults(run.clip, known)
    except ConfigError as error:
        raise ConfigError(
            f"{prefix}clip: {error}; what is not set is as init_from={run.init_from} was trained"
        ) from None
    started = run.model_copy(
        update={"model": type(run.model)(**{**given, "name": name, **taken}), "clip": clip}
    )
    notes = list(_notes(run, started, taken, known, prefix))
    return started, weights._replace(notes=notes)


def resume_run(run: R, checkpoint: Checkpoint, images: Checkpoint | None = None) -> R:
    """Fill the settings that ``run`` leaves open as its own ``checkpoint`` has them.

    Only a run that starts reads ``init_from``. One that goes on finds its architecture and the
    settings of its clips in its checkpoint, and those of its images in that of ``images``.

    Raises:
        ConfigError: if the settings of clips that it began with do not fit those that are set now.
    """
    if run.init_from is None:
        return run
    config, given = checkpoint.config, run.model.overrides
    name = run.model.name
    if "name" not in run.model.model_fields_set:
        name = _fitting_name(name, config, config.is_video)
    named = variant_fields(name)
    takes_clips = parse_name(name).is_video
    taken: dict[str, Any] = {}
    if takes_clips == config.is_video:  # else the model is refused when it is made
        own = HieraConfig(**named).to_dict()
        found = _found_fields(run, name, checkpoint)
        taken = {key: v for key, v in found.items() if key not in given and v != own[key]}
    update: dict[str, Any] = {
        "model": type(run.model)(**{**taken, **given, "name": name}),
        "clip": _with_defaults(run.clip, known_clip(checkpoint, checkpoint.source)),
    }
    if run.images is not None and images is not None:
        clip = _with_defaults(run.images.clip, known_clip(images, images.source))
        update["images"] = run.images.model_copy(update={"clip": clip})
    return run.model_copy(update=update)


def _known_heads(run: TrainingRun) -> list[int] | None:
    """Attention heads of an unpublished architecture, for files that do not record them."""
    given = run.model.overrides
    fields = {**variant_fields(run.model.name), **given}
    published = [[variant.embed_dim, list(variant.depths)] for variant in VARIANTS.values()]
    is_published = [fields["embed_dim"], fields["depths"]] in published
    return None if is_published and "num_heads" not in given else fields["num_heads"]


def _takes_clips(run: TrainingRun, found: HieraConfig) -> bool:
    """Whether the model takes clips: its name decides if it was set, else the clip settings, else
    the weights."""
    if "name" in run.model.model_fields_set:
        return parse_name(run.model.name).is_video
    if run.images is not None:
        return True
    return not run.clip.is_image if "num_frames" in run.clip.model_fields_set else found.is_video


def _fitting_name(default: str, found: HieraConfig, takes_clips: bool) -> str:
    """The name of the published variant with the architecture of ``found``, for pre-training if
    ``default`` is; an unpublished architecture is expressed as changes to Hiera-B."""
    size = published_variant(found) or "base"
    return str(VariantName(size, takes_clips, parse_name(default).is_pretraining))


def _take_architecture(run: TrainingRun, name: str, weights: Start) -> dict[str, Any]:
    """The fields that ``run`` leaves open and in which the weights differ from the variant.

    Raises:
        CheckpointError: if the name, or a field that ``run`` sets, contradicts the weights.
    """
    given = run.model.overrides
    source, checkpoint, prefix = weights.source, weights.checkpoint, weights.prefix
    named = variant_fields(name)
    takes_clips = parse_name(name).is_video
    if checkpoint.config.is_video and not takes_clips:
        raise CheckpointError(
            f"{prefix}model.name={name}: takes images, and the weights of init_from={source} "
            f"are of clips; wanted {_fitting_name(name, checkpoint.config, takes_clips=True)}"
        )
    found = _found_fields(run, name, checkpoint)
    _check_given(name, given, found, weights)
    fitting = _fitting_name(name, checkpoint.config, takes_clips)
    size = ("embed_dim", "depths", "num_heads")
    published = published_variant(checkpoint.config)
    if (
        published
        and parse_name(fitting).size == published
        and any({**named, **given}[field] != found[field] for field in size)
    ):
        raise CheckpointError(
            f"{prefix}model.name={name}: the weights of init_from={source} are those of another "
            f"variant; wanted {prefix}model.name={fitting}"
        )
    own = HieraConfig(**named).to_dict()
    return {
        field: value for field, value in found.items() if field not in given and value != own[field]
    }


def _found_fields(run: TrainingRun, name: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """The fields of a model of this name that holds the checkpoint's weights; those that decide
    what the weights mean, and all others that ``run`` could set and the variant does not."""
    config = checkpoint.config
    stored, named = config.to_dict(), variant_fields(name)
    fields = {field: stored[field] for field in (*FIXED, *FREE)}
    elsewhere = {*fields, *FIXED_IN_PRETRAINING, *named, "name"}
    others = {
        field: stored[field] for field in type(run.model).model_fields if field not in elsewhere
    }
    inflates = parse_name(name).is_video and not config.is_video
    if inflates:
        of_clips = video_fields(config, named["image_size"][0])
        fields |= {field: value for field, value in of_clips.items() if field in fields}
        fields["masked_unit_attention"] = stored["masked_unit_attention"]
    if _keeps_decoder(name, checkpoint, inflates):
        fields |= {field: stored[field] for field in FIXED_IN_PRETRAINING}
    else:
        fields["num_query_pool"] = _num_query_pool(name, checkpoint)
    return fields | others


def _keeps_decoder(name: str, checkpoint: Checkpoint, inflates: bool) -> bool:
    to_pretrain = parse_name(name).is_pretraining
    return to_pretrain and checkpoint.kind == "pretraining" and not inflates


def _num_query_pool(name: str, checkpoint: Checkpoint) -> int:
    """How often the model pools queries. A classifier's weights were trained with their own number;
    pre-training leaves out the last pooling, and a bare encoder may come from either."""
    config, to_pretrain = checkpoint.config, parse_name(name).is_pretraining
    is_classifier = checkpoint.kind not in ("pretraining", "encoder")
    if is_classifier and not to_pretrain:
        return config.num_query_pool
    most = max(0, len(config.depths) - (2 if to_pretrain else 1))
    units = list(zip(config.masked_unit_size, config.query_stride, strict=True))
    return next(n for n in range(most, -1, -1) if all(unit % pool**n == 0 for unit, pool in units))


def _check_given(
    name: str, given: Mapping[str, Any], found: Mapping[str, Any], weights: Start
) -> None:
    source, checkpoint, prefix = weights.source, weights.checkpoint, weights.prefix
    inflates = len(found["patch_size"]) > len(checkpoint.config.patch_size)
    fixed = list(FIXED)
    if inflates:  # time is new to the weights
        fixed.remove("separate_position_embeddings")
    if _keeps_decoder(name, checkpoint, inflates):
        fixed += FIXED_IN_PRETRAINING

    def differs(field: str) -> bool:
        ours, theirs = given[field], found[field]
        if inflates and field in _PER_AXIS and isinstance(ours, list):
            ours, theirs = ours[1:], theirs[1:]
        return bool(ours != theirs)

    wrong = [field for field in fixed if field in given and differs(field)]
    global_size = "global_position_size"
    if global_size in given and (given[global_size] is None) != (found[global_size] is None):
        wrong.append(global_size)
    if wrong:
        keys = ", ".join(f"{prefix}model.{field}={_shown(given[field])}" for field in wrong)
        wanted = ", ".join(f"{field}={_shown(found[field])}" for field in wrong)
        raise CheckpointError(
            f"{keys}: contradicts init_from={source}: its weights have {wanted}; leave it out"
        )


C = TypeVar("C", bound=ClipSettings)


def _with_defaults(clip: C, defaults: Mapping[str, Any]) -> C:
    """``clip`` with ``defaults`` for the settings that were not set, as far as they fit the others.

    Raises:
        ConfigError: if the result is not valid.
    """
    given = {key: getattr(clip, key) for key in clip.model_fields_set}
    fields = type(clip).model_fields
    taken = {
        key: value
        for key, value in defaults.items()
        if key in fields and not is_constant(fields[key])  # as the stride of an image
    }
    values = {**taken, **given}
    rule = ClipSettings(sampling=values.get("sampling", clip.sampling))
    # Settings that only some sampling rules know, and a short side meant for another view size.
    left_out = {
        "frames_per_second": rule.counts_own_frames,
        "short_video": rule.spans_video,
        "short_side": values.get("crop_size") != defaults.get("crop_size"),
    }
    if "sampling" in given or "crop_size" in given:
        values = {k: v for k, v in values.items() if k in given or not left_out.get(k)}
    return type(clip)(**values)


def _notes(
    run: TrainingRun,
    started: TrainingRun,
    taken: Mapping[str, Any],
    known: Mapping[str, Any],
    prefix: str,
) -> Iterator[str]:
    """Lines that name the settings which the weights brought, and those of ``run`` that differ from
    the weights' own."""
    given = run.clip.model_fields_set
    settings = [f"{prefix}model.{field}={_shown(value)}" for field, value in taken.items()]
    for key in known:
        value = getattr(started.clip, key)
        if key not in given and value != getattr(run.clip, key):
            settings.append(f"{prefix}clip.{key}={_shown(value)}")
    if settings:
        yield f"from there: {', '.join(settings)}"
    for key, value in known.items():
        unused = key == "stride" and started.clip.spans_video
        if key in given and not unused and getattr(run.clip, key) != value:
            yield (
                f"{prefix}clip.{key}={_shown(getattr(run.clip, key))} differs from "
                f"{_shown(value)}, with which init_from was trained"
            )


def _shown(value: Any) -> str:
    """A value as a user would write it."""
    return value if isinstance(value, str) else json.dumps(value)
