"""The kinds of models, and the class names by which files refer to them.

Files name the class of a model, but reading and writing depend only on the kind of that class: so
layouts need not import the classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

Kind = Literal["encoder", "backbone", "pretraining", "classification"]

#: ``architecture`` in ``config.json`` (``architectures`` in that of ``transformers``) -> its kind.
KINDS: dict[str, Kind] = {
    "HieraModel": "encoder",
    "HieraBackbone": "backbone",
    "HieraForPreTraining": "pretraining",
    "HieraForImageClassification": "classification",
    "HieraForVideoClassification": "classification",
}

#: ``model_type`` in ``config.json``; ``transformers`` has a model of images called ``hiera``.
MODEL_TYPE = "hiera_video"


def transformers_name(architecture: str) -> str:
    """Our class's name -> that of the class around it in
    :mod:`hiera_video.integrations.transformers`."""
    return architecture.replace("Hiera", "HieraVideo", 1)


#: Keys of our ``config.json`` that are no fields of a ``HieraConfig``.
_BESIDE_FIELDS = {"architecture", "architectures", "auto_map", "model_type"}


def split_config(
    values: Mapping[str, Any], fields: Collection[str]
) -> tuple[dict[str, Any], str | None]:
    """The fields in a ``config.json`` of ours, and the class that it names, if it does.

    A file that ``transformers`` has written names the class around ours, and has keys of that
    library; those are left out.
    """
    architecture = values.get("architecture")
    if "transformers_version" in values and values.get("model_type") == MODEL_TYPE:
        named = [name for name in KINDS if [transformers_name(name)] == values.get("architectures")]
        architecture = named[0] if named else None
        values = {key: value for key, value in values.items() if key in fields}
    return {k: v for k, v in values.items() if k not in _BESIDE_FIELDS}, architecture


def architecture_name(kind: Kind, is_video: bool) -> str:
    """The name of the class of this kind, for clips or for images."""
    if kind == "classification":
        return f"HieraFor{'Video' if is_video else 'Image'}Classification"
    return next(name for name, of_name in KINDS.items() if of_name == kind)
