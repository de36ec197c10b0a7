"""The code that a shared checkpoint takes along: ``trust_remote_code=True`` runs it where this
package is not installed."""

from __future__ import annotations

import json
from pathlib import Path

from hiera_video.errors import CheckpointError
from hiera_video.files import atomic_path
from hiera_video.hub import CONFIG_FILE
from hiera_video.integrations.transformers.bundle import Place, bundle_source
from hiera_video.models.config_files import read_config
from hiera_video.models.layouts.processors import IMAGE_PROCESSOR_FILE, VIDEO_PROCESSOR_FILE
from hiera_video.version import __version__

#: The file's name, without its suffix.
MODULE = "modeling_hiera_video"

#: Of a run's checkpoints (:mod:`hiera_video.training.saving`), beside each one's model.
_CHECKSUMS_FILE = "checksums.json"
_HERE = "hiera_video.integrations.transformers"
_MODELS = {
    "AutoModel": "HieraVideoModel",
    "AutoBackbone": "HieraVideoBackbone",
    "AutoModelForPreTraining": "HieraVideoForPreTraining",
    "AutoModelForImageClassification": "HieraVideoForImageClassification",
    "AutoModelForVideoClassification": "HieraVideoForVideoClassification",
}
#: By file: what its ``auto_map`` says.
_AUTO_MAPS = {
    CONFIG_FILE: {"AutoConfig": "HieraVideoConfig", **_MODELS},
    IMAGE_PROCESSOR_FILE: {
        "AutoImageProcessor": "HieraVideoImageProcessor",
        "AutoProcessor": "HieraVideoProcessor",
    },
    VIDEO_PROCESSOR_FILE: {
        "AutoVideoProcessor": "HieraVideoVideoProcessor",
        "AutoProcessor": "HieraVideoProcessor",
    },
}
_PROCESSORS = ("HieraVideoImageProcessor", "HieraVideoVideoProcessor", "HieraVideoProcessor")
_TITLE = (
    f"Hiera for images and clips inside transformers: parts of hiera-video {__version__}\n"
    "(Apache-2.0) in one file, made when this checkpoint was saved. Change the package, not this."
)


def add_code(folder: str | Path) -> None:
    """Put the code into a checkpoint's folder, and say so in the ``auto_map`` of its files.

    ``save_pretrained`` and ``push_to_hub`` of the models and processors here do it themselves; this
    is for a folder that this package has written.

    Raises:
        CheckpointError: if there is no checkpoint of ours, and no processor; if the folder is part
            of a run, which knows its files by their checksums.
    """
    folder = Path(folder)
    if (folder.resolve().parent / _CHECKSUMS_FILE).is_file():
        raise CheckpointError(
            f"{folder}: is part of a run, which would find it changed; copy it first: "
            f"hiera-video convert {folder} COPY"
        )
    there = {name: read_config(folder / name) for name in _AUTO_MAPS if (folder / name).is_file()}
    if not there:
        raise CheckpointError(f"{folder}: wanted a folder with a {CONFIG_FILE} of ours")
    for name, values in there.items():
        auto_map = {auto: f"{MODULE}.{cls}" for auto, cls in _AUTO_MAPS[name].items()}
        _write(folder / name, json.dumps({**values, "auto_map": auto_map}, indent=2) + "\n")
    _write(folder / f"{MODULE}.py", bundle_source(_roots(), _TITLE))


def _roots() -> tuple[Place, ...]:
    models = tuple((f"{_HERE}.modeling", name) for name in _MODELS.values())
    return (*models, *((f"{_HERE}.processing", name) for name in _PROCESSORS))


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
