"""The configuration of a model: documented fields, checked on construction."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from hiera_video.config.machinery import Settings
from hiera_video.errors import ConfigError, suggest

_AXES = {2: "HW", 3: "THW"}
#: The names in ``activations.ACTIVATIONS``; listed here so that a config needs no torch.
ACTIVATION_NAMES = (
    "gelu",
    "gelu_pytorch_tanh",
    "gelu_new",
    "relu",
    "relu6",
    "leaky_relu",
    "selu",
    "silu",
    "swish",
    "mish",
    "tanh",
    "sigmoid",
)


class HieraConfig(Settings):
    """Architecture of a Hiera model.

    ``image_size`` is ``(H, W)`` for images and ``(T, H, W)`` for clips, in pixels and frames; every
    other per-axis field has the same length. Field names and defaults are those documented for
    Hiera in ``transformers``. A config is checked on construction, and is then immutable:
    :meth:`from_dict` makes a changed copy.

    Raises:
        ConfigError: for unknown fields, wrong types, and sizes that the patch stride, mask units or
            query strides do not divide (with the nearest valid sizes); and when a field of an
            existing config is set.
    """

    model_config = ConfigDict(frozen=True)

    embed_dim: int = Field(96, ge=1, description="width of the first stage")
    image_size: list[int] = Field([224, 224])
    patch_size: list[int] = Field([7, 7], description="kernel of the patch embedding")
    patch_stride: list[int] = Field([4, 4])
    patch_padding: list[int] = Field([3, 3])
    mlp_ratio: float = Field(4.0, gt=0)
    depths: list[int] = Field([2, 3, 16, 3], description="blocks per stage")
    num_heads: list[int] = Field([1, 2, 4, 8], description="attention heads per stage")
    embed_dim_multiplier: float = Field(2.0, gt=0, description="width from stage to stage")
    num_query_pool: int = Field(3, ge=0, description="stages that begin by pooling the queries")
    query_stride: list[int] = Field([2, 2], description="tokens pooled per axis each time")
    masked_unit_size: list[int] = Field([8, 8], description="tokens per mask unit and axis")
    masked_unit_attention: list[bool] = Field(
        [True, True, False, False], description="per stage: attend inside mask units only"
    )
    drop_path_rate: float = Field(0.0, ge=0, lt=1, description="of the last block; linear from 0")
    num_channels: int = Field(3, ge=1)
    hidden_act: str = "gelu"
    initializer_range: float = Field(0.02, gt=0)
    layer_norm_init: float = 1.0
    layer_norm_eps: float = Field(1e-6, gt=0)
    decoder_hidden_size: int | None = Field(None, ge=1)
    decoder_depth: int | None = Field(None, ge=1)
    decoder_num_heads: int | None = Field(None, ge=1)
    normalize_pixel_loss: bool = True
    mask_ratio: float = Field(0.6, ge=0, lt=1, description="share of mask units that are hidden")
    decoder_mask_ratio: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the hidden mask units that the decoder leaves out, and the loss with "
        "it (decoder masking, arXiv 2303.16727); 0 predicts all of them",
    )
    out_features: list[str] | None = None
    out_indices: list[int] | None = None
    num_labels: int = Field(2, ge=0)
    id2label: dict[int, str] | None = Field(None, validate_default=True)
    label2id: dict[str, int] | None = Field(None, validate_default=True)
    problem_type: (
        Literal["regression", "single_label_classification", "multi_label_classification"] | None
    ) = None
    output_attentions: bool = False
    output_hidden_states: bool = False
    return_dict: bool = True
    separate_position_embeddings: bool = Field(
        False, description="clips only: spatial + temporal ones, as in the published video models"
    )
    global_position_size: list[int] | None = Field(
        None,
        description="size of a global position table that is resized to the tokens, beside one "
        "that repeats with the mask units (arXiv 2311.05613, `abswin`); default: one plain table",
    )
    position_initializer: Literal["normal", "sine_cosine"] = Field(
        "normal",
        description="what position embeddings start as: small random numbers, as in the official "
        "code, or sines and cosines, with which short pre-training gets much further",
    )
    head: Literal["linear", "attentive"] = Field(
        "linear",
        description="of classifiers: a linear layer on the average of the tokens, or on what a "
        "learned query attends to among them (attentive probe, arXiv 2404.08471)",
    )
    head_dropout: float = Field(0.0, ge=0, lt=1, description="before the classifier")
    head_init_scale: float = Field(
        1.0,
        gt=0,
        description="of a new classifier's weights; the official code fine-tunes from 0.001, with "
        "which training from scratch hardly starts",
    )

    @model_validator(mode="before")
    @classmethod
    def _complete_labels(cls, values: Any) -> Any:
        """Derive missing ``num_labels`` and ``id2label`` from the given names."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        indices = values.get("label2id")
        if values.get("id2label") is None and isinstance(indices, dict):
            values["id2label"] = {index: name for name, index in indices.items()}
        if values.get("num_labels") is None:
            values.pop("num_labels", None)
            if values.get("id2label"):
                values["num_labels"] = len(values["id2label"])
        return values

    @field_validator("id2label")
    @classmethod
    def _number_labels(
        cls, names: dict[int, str] | None, info: ValidationInfo
    ) -> dict[int, str] | None:
        if names is None and "num_labels" in info.data:
            return _unnamed_labels(info.data["num_labels"])
        return names

    @field_validator("label2id")
    @classmethod
    def _invert_names(
        cls, indices: dict[str, int] | None, info: ValidationInfo
    ) -> dict[str, int] | None:
        if indices is None and info.data.get("id2label") is not None:
            return {name: index for index, name in info.data["id2label"].items()}
        return indices

    @model_validator(mode="after")
    def _check(self) -> HieraConfig:
        self._check_lengths()
        self._check_widths()
        self._check_sizes()
        self._check_labels()
        self._check_decoder()
        self._check_stages_out()
        if self.hidden_act not in ACTIVATION_NAMES:
            valid = ", ".join(ACTIVATION_NAMES)
            raise ValueError(f"hidden_act={self.hidden_act!r}: valid: {valid}")
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        raise ConfigError(
            f"{name}={value!r}: a HieraConfig does not change; make another one: "
            f"HieraConfig.from_dict(config.to_dict(), {name}={value!r})"
        )

    def _check_lengths(self) -> None:
        num_axes = len(self.image_size)
        if num_axes not in _AXES:
            raise ValueError(f"image_size={self.image_size}: wanted [H, W] or [T, H, W]")
        for name in (
            "patch_size",
            "patch_stride",
            "patch_padding",
            "query_stride",
            "masked_unit_size",
        ):
            value = getattr(self, name)
            if len(value) != num_axes:
                raise ValueError(
                    f"{name}={value} has {len(value)} values and image_size={self.image_size} "
                    f"has {num_axes}: give one per axis"
                )
            if min(value) < (0 if name == "patch_padding" else 1):
                raise ValueError(f"{name}={value}: values are too small")
        num_stages = len(self.depths)
        if num_stages == 0 or min(self.depths) < 1:
            raise ValueError(f"depths={self.depths}: wanted at least one block per stage")
        for name in ("num_heads", "masked_unit_attention"):
            value = getattr(self, name)
            if len(value) != num_stages:
                raise ValueError(
                    f"{name}={value} has {len(value)} values and depths={self.depths} "
                    f"has {num_stages}: give one per stage"
                )
        if self.num_query_pool >= num_stages:
            raise ValueError(
                f"num_query_pool={self.num_query_pool}: with {num_stages} stages there are at "
                f"most {num_stages - 1} poolings between them"
            )
        global_size = self.global_position_size
        if global_size is not None and (len(global_size) != num_axes or min(global_size) < 1):
            raise ValueError(
                f"global_position_size={global_size}: wanted one value per axis, {num_axes}"
            )
        if self.separate_position_embeddings and num_axes == 2:
            raise ValueError("separate_position_embeddings needs an image_size of [T, H, W]")

    def _check_widths(self) -> None:
        for width, heads in zip(self.stage_dims, self.num_heads, strict=True):
            if heads < 1 or width % heads:
                raise ValueError(
                    f"num_heads={self.num_heads} do not divide the stage widths {self.stage_dims}"
                )

    def _check_sizes(self) -> None:
        axes = _AXES[len(self.image_size)]
        for axis, kernel, stride, padding in zip(
            axes, self.patch_size, self.patch_stride, self.patch_padding, strict=True
        ):
            # Then a size of n strides gives exactly n tokens.
            if not 0 < kernel - 2 * padding <= stride:
                raise ValueError(
                    f"patch_size={kernel}, patch_stride={stride}, patch_padding={padding} on axis "
                    f"{axis}: patch_size - 2 * patch_padding must be in 1..patch_stride"
                )
        for axis, unit, pool in zip(axes, self.masked_unit_size, self.query_stride, strict=True):
            pooled = pool**self.num_query_pool
            if unit % pooled:
                raise ValueError(
                    f"masked_unit_size={self.masked_unit_size}: query_stride={self.query_stride} "
                    f"pooled {self.num_query_pool} times does not divide {unit} on axis {axis}; "
                    f"nearest that would do: {_nearest(unit, pooled)}"
                )
        self.check_input_size(self.image_size, "image_size")

    def check_input_size(self, size: list[int] | tuple[int, ...], name: str) -> None:
        """Check that a pixel size splits into whole mask units.

        Raises:
            ConfigError: if not; the message names the nearest sizes that do.
        """
        units = [
            stride * unit
            for stride, unit in zip(self.patch_stride, self.masked_unit_size, strict=True)
        ]
        if len(size) != len(units):
            raise ConfigError(f"{name}={list(size)}: wanted {len(units)} values, like {units}")
        faults = [
            f"{length} on axis {axis} (nearest: {_nearest(length, unit)})"
            for axis, length, unit in zip(_AXES[len(units)], size, units, strict=True)
            if length < unit or length % unit
        ]
        if faults:
            raise ConfigError(
                f"{name}={list(size)}: mask units span {'x'.join(map(str, units))} pixels "
                f"(patch_stride x masked_unit_size), which does not divide {', '.join(faults)}"
            )

    def _check_labels(self) -> None:
        if sorted(self.id2label or {}) != list(range(self.num_labels)):
            raise ValueError(
                f"id2label names {len(self.id2label or {})} labels and "
                f"num_labels={self.num_labels}: wanted one name for each index from 0"
            )

    def _check_decoder(self) -> None:
        decoder = {
            name: getattr(self, name)
            for name in ("decoder_hidden_size", "decoder_depth", "decoder_num_heads")
        }
        missing = [name for name, value in decoder.items() if value is None]
        if missing and len(missing) < len(decoder):
            raise ValueError(f"a decoder needs {', '.join(missing)} too")
        if not missing and decoder["decoder_hidden_size"] % decoder["decoder_num_heads"]:
            raise ValueError(
                f"decoder_num_heads={self.decoder_num_heads} does not divide "
                f"decoder_hidden_size={self.decoder_hidden_size}"
            )

    def _check_stages_out(self) -> None:
        names = self.stage_names
        for name in self.out_features or []:
            if name not in names:
                raise ValueError(f"out_features: {name!r} is no stage, {suggest(name, names)}")
        for index in self.out_indices or []:
            if not -len(names) <= index < len(names):
                raise ValueError(f"out_indices: {index} is no stage, valid: 0 to {len(names) - 1}")
        by_index = [names[index] for index in self.out_indices or []]
        if self.out_features and by_index and set(by_index) != set(self.out_features):
            raise ValueError(
                f"out_features={self.out_features} and out_indices={self.out_indices} "
                "name different stages"
            )

    @property
    def stage_names(self) -> list[str]:
        """The valid ``out_features``, in the order of ``out_indices``: embeddings, then stages."""
        return ["stem", *(f"stage{stage}" for stage in range(1, len(self.depths) + 1))]

    @property
    def stages_out(self) -> list[str]:
        """The stages that a backbone returns, in network order; default: the last one."""
        names = self.stage_names
        if self.out_features:
            chosen = set(self.out_features)
        else:
            chosen = {names[index] for index in self.out_indices or [-1]}
        return [name for name in names if name in chosen]

    @property
    def has_label_names(self) -> bool:
        """Whether labels have names; those of published weights often have only numbers."""
        return self.id2label != _unnamed_labels(self.num_labels)

    @property
    def is_video(self) -> bool:
        """Whether the model takes clips ``(B, C, T, H, W)`` rather than images ``(B, C, H, W)``."""
        return len(self.image_size) == 3

    @property
    def stage_dims(self) -> list[int]:
        """Width of each stage."""
        widths = [self.embed_dim]
        for _ in self.depths[1:]:
            widths.append(int(widths[-1] * self.embed_dim_multiplier))
        return widths

    @property
    def token_grid(self) -> tuple[int, ...]:
        """Tokens per axis after the patch embedding, at ``image_size``."""
        return tuple(n // s for n, s in zip(self.image_size, self.patch_stride, strict=True))

    @property
    def num_units(self) -> int:
        """Mask units at ``image_size``."""
        return prod(self.token_grid) // prod(self.masked_unit_size)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> HieraConfig:
        """The inverse of :meth:`to_dict`, with some fields replaced.

        ``num_labels``, ``id2label`` and ``label2id`` are replaced together: those not given are
        derived, unless the number of labels stays the same. So are ``out_features`` and
        ``out_indices``.
        """
        labels = {"num_labels", "id2label", "label2id"}
        same_number = overrides.get("num_labels") == values.get("num_labels")
        if same_number and labels & overrides.keys() == {"num_labels"}:
            labels = set()
        for group in (labels, {"out_features", "out_indices"}):
            if group & overrides.keys():
                values = {name: value for name, value in values.items() if name not in group}
        return cls(**{**values, **overrides})

    def to_json_file(self, path: str | Path) -> None:
        """Write all fields as JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_json_file(cls, path: str | Path) -> HieraConfig:
        """Read a file of :meth:`to_json_file`, or a ``config.json`` in our layout."""
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        values.pop("architecture", None)  # added by checkpoints
        return cls.from_dict(values)


def _unnamed_labels(num_labels: int) -> dict[int, str]:
    return {index: f"LABEL_{index}" for index in range(num_labels)}


def _nearest(value: int, step: int) -> str:
    """The positive multiples of ``step`` just below and above ``value``, for a message."""
    below = value // step * step
    return " or ".join(str(n) for n in (below, below + step) if n > 0)
