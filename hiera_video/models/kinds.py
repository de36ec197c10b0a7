"""The kinds of models, and the class names by which files refer to them.

Files name the class of a model, but reading and writing depend only on the kind of that class: so
layouts need not import the classes.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["encoder", "backbone", "pretraining", "classification"]

#: ``architecture`` in ``config.json`` (``architectures`` in that of ``transformers``) -> its kind.
KINDS: dict[str, Kind] = {
    "HieraModel": "encoder",
    "HieraBackbone": "backbone",
    "HieraForPreTraining": "pretraining",
    "HieraForImageClassification": "classification",
    "HieraForVideoClassification": "classification",
}


def architecture_name(kind: Kind, is_video: bool) -> str:
    """The name of the class of this kind, for clips or for images."""
    if kind == "classification":
        return f"HieraFor{'Video' if is_video else 'Image'}Classification"
    return next(name for name, of_name in KINDS.items() if of_name == kind)
