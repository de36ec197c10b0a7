"""Configurations as dictionaries, JSON and files, with the methods documented for them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from hiera_video.config.machinery import Settings
from hiera_video.errors import CheckpointError, reason_of
from hiera_video.files import atomic_path, reading
from hiera_video.hub import CONFIG_FILE, find_config

C = TypeVar("C", bound="ConfigFiles")

#: Fields that every model has, whatever its architecture: left out of a difference at their
#: defaults.
_COMMON = (
    "num_labels",
    "id2label",
    "label2id",
    "problem_type",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
)
#: Fields of ours that a ``config.json`` of ``transformers`` lacks, or that it derives (the number
#: of labels).
NOT_IN_TRANSFORMERS = {
    "separate_position_embeddings",
    "global_position_size",
    "global_position_antialias",
    "window_units",
    "global_attention_blocks",
    "skip",
    "layer_scale_init",
    "decoder_mask_ratio",
    "position_initializer",
    "head",
    "head_dropout",
    "head_init_scale",
    "num_labels",
}
_LABELS = {"num_labels", "id2label", "label2id"}
_STAGES = {"out_features", "out_indices"}


#: ``model_type`` in ``config.json``; ``transformers`` has a model of images called ``hiera``.
MODEL_TYPE = "hiera_video"


def transformers_name(architecture: str) -> str:
    """Our class's name -> that of the class around it in
    :mod:`hiera_video.integrations.transformers`."""
    return architecture.replace("Hiera", "HieraVideo", 1)


#: Keys of our ``config.json`` that are no fields of a ``HieraConfig``.
BESIDE_FIELDS = ("architecture", "architectures", "auto_map", "model_type")


def split_config(
    values: Mapping[str, Any], fields: Collection[str]
) -> tuple[dict[str, Any], str | None]:
    """The fields in a ``config.json`` of ours, and the class that it names, if it does.

    A file that ``transformers`` has written names the class around ours, and has keys of that
    library; those are left out.
    """
    architecture = values.get("architecture")
    if "transformers_version" in values and values.get("model_type") == MODEL_TYPE:
        named = values.get("architectures") or []
        architecture = named[0].replace("HieraVideo", "Hiera", 1) if len(named) == 1 else None
        values = {key: value for key, value in values.items() if key in fields}
    return {k: v for k, v in values.items() if k not in BESIDE_FIELDS}, architecture


def names_of_stages(depths: Sequence[int]) -> list[str]:
    """``stem``, which are the embeddings, and one name for each stage."""
    return ["stem", *(f"stage{stage}" for stage in range(1, len(depths) + 1))]


class ConfigFiles(Settings):
    """What a configuration can be written to and read from."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return self.model_dump(mode="json")

    def to_diff_dict(self) -> dict[str, Any]:
        """The fields as plain values, without those that every model has (labels, outputs) and
        that are at their defaults; :meth:`from_dict` reads it back."""
        defaults = type(self)().to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in _COMMON or value != defaults[name]
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """:meth:`to_diff_dict` as JSON, or with ``use_diff=False`` :meth:`to_dict`."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2) + "\n"

    def to_json_file(self, path: str | Path, use_diff: bool = True) -> None:
        """Write :meth:`to_json_string`."""
        Path(path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``config.json`` into ``directory``, which is made if need be; of a checkpoint that
        lies there, the name of its model's class stays.

        Raises:
            CheckpointError: if a ``config.json`` that lies there cannot be read.
        """
        path = Path(directory) / CONFIG_FILE
        held = read_config(path) if path.exists() else {}
        beside = {name: held[name] for name in BESIDE_FIELDS if name in held}
        values = {**beside, "model_type": MODEL_TYPE, **self.to_dict()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as unfinished:
            unfinished.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_dict(cls: type[C], values: dict[str, Any], **overrides: Any) -> C:
        """The inverse of :meth:`to_dict`, with some fields replaced.

        ``num_labels``, ``id2label`` and ``label2id`` are replaced together: those not given are
        derived, unless the number of labels stays the same. So are ``out_features`` and
        ``out_indices``; the last stage, where it was the only one, stays the last one if the number
        of stages changes.
        """
        labels = set(_LABELS)
        same_number = overrides.get("num_labels") == values.get("num_labels")
        if same_number and labels & overrides.keys() == {"num_labels"}:
            labels = set()
        for group in (labels, _STAGES):
            if group & overrides.keys():
                values = {name: value for name, value in values.items() if name not in group}
        if "depths" in overrides and _has_last_stage_only(values):
            values = {name: value for name, value in values.items() if name not in _STAGES}
        return cls(**{**values, **overrides})

    @classmethod
    def from_file_values(cls: type[C], values: dict[str, Any]) -> C:
        """The configuration in a ``config.json`` of ours, an older one included, or of
        ``transformers``."""
        model_type = values.get("model_type")
        values, _ = split_config(values, cls.model_fields)
        if model_type == "hiera":
            known = set(cls.model_fields) - NOT_IN_TRANSFORMERS
            values = {name: value for name, value in values.items() if name in known}
        depths = values.get("depths", cls.model_fields["depths"].default)
        if isinstance(depths, list):
            values = _in_order(values, names_of_stages(depths))
        return cls.from_dict(values)

    @classmethod
    def from_json_file(cls: type[C], path: str | Path) -> C:
        """Read a file of :meth:`to_json_file`, or a ``config.json`` of ours or of ``transformers``.

        Raises:
            CheckpointError: if it cannot be read.
            ConfigError: if its values do not fit.
        """
        return cls.from_file_values(read_config(Path(path)))

    @overload
    @classmethod
    def from_pretrained(
        cls: type[C],
        source: str | Path,
        *,
        return_unused_kwargs: Literal[False] = False,
        subfolder: str = "",
        revision: str | None = None,
        **overrides: Any,
    ) -> C: ...

    @overload
    @classmethod
    def from_pretrained(
        cls: type[C],
        source: str | Path,
        *,
        return_unused_kwargs: Literal[True],
        subfolder: str = "",
        revision: str | None = None,
        **overrides: Any,
    ) -> tuple[C, dict[str, Any]]: ...

    @classmethod
    def from_pretrained(
        cls: type[C],
        source: str | Path,
        *,
        return_unused_kwargs: bool = False,
        subfolder: str = "",
        revision: str | None = None,
        **overrides: Any,
    ) -> C | tuple[C, dict[str, Any]]:
        """The configuration of a model: its directory, its ``config.json`` or its hub id.

        Args:
            source: in our layout or that of ``transformers``. (The official one does without
                fields that only its weights tell: load the model and take its ``config``.)
            return_unused_kwargs: also give the ``overrides`` that are no fields, which are an error
                otherwise.
            subfolder: the folder of ``source`` that holds ``config.json``.
            revision: branch, tag or commit on the hub.
            overrides: fields to replace (see :meth:`from_dict`).

        Raises:
            CheckpointError: if there is no such file, or it is not the configuration of a model.
            ConfigError: if values do not fit.
        """
        path = find_config(source, subfolder, revision)
        values = read_config(path)
        if "stages" in values:
            raise CheckpointError(
                f"{path}: is in the official layout, and says less than its weights: take the "
                "config of the model, HieraModel.from_pretrained(...).config"
            )
        unused = {n: v for n, v in overrides.items() if n not in cls.model_fields}
        fields = {n: v for n, v in overrides.items() if n not in unused}
        config = cls.from_file_values(values)
        if not return_unused_kwargs:
            return cls.from_dict(config.to_dict(), **overrides) if overrides else config
        return (cls.from_dict(config.to_dict(), **fields) if fields else config), unused


def read_config(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CheckpointError: if the file is missing or holds something else.
    """
    with reading(path, CheckpointError):
        text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: is not valid JSON ({reason_of(error)})") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: wanted an object, got {type(values).__name__}")
    return values


def _has_last_stage_only(values: dict[str, Any]) -> bool:
    """Whether the stages that ``values`` choose are what no choice gives."""
    last = len(values.get("depths") or [])
    return values.get("out_indices") == [last] or values.get("out_features") == [f"stage{last}"]


def _in_order(values: dict[str, Any], stage_names: Sequence[str]) -> dict[str, Any]:
    """``values`` of an older ``config.json``, where stages may be in any order, or given twice."""
    names, sorted_values = list(stage_names), dict(values)
    features, indices = values.get("out_features"), values.get("out_indices")
    if features and set(features) <= {*names}:
        sorted_values["out_features"] = sorted({*features}, key=names.index)
    if indices and all(-len(names) <= index < len(names) for index in indices):
        places = {index % len(names): index for index in indices}
        sorted_values["out_indices"] = [places[place] for place in sorted(places)]
    return sorted_values
