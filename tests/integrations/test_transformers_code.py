"""The code that a checkpoint takes along, where this package cannot be imported; and what happens
where transformers cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

import hiera_video.integrations.transformers as integration
from hiera_video import load_clips, load_model
from hiera_video.config.clip_groups import ClipSettings
from hiera_video.errors import CheckpointError
from hiera_video.integrations.transformers.bundle import Bundle, bundle_source
from hiera_video.models.preprocessor import dump_preprocessor
from tests.integrations.small import saved_model, small_model
from tests.models.small import clips
from tests.support import HANG_SECONDS, ROOT, write_video

#: Makes imports of a package fail, as if it were not installed.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "{package}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""

LOADING = """
import torch
from transformers import (
    AutoConfig, AutoModel, AutoModelForVideoClassification, AutoProcessor, AutoVideoProcessor,
    pipeline,
)

trust = {"trust_remote_code": True}
pixels, logits, inputs = torch.load("expected.pt")
model = AutoModelForVideoClassification.from_pretrained("model", **trust)
assert torch.equal(model(pixels).logits, logits)
assert type(AutoConfig.from_pretrained("model", **trust)).__name__ == "HieraVideoConfig"
assert torch.equal(
    AutoModel.from_pretrained("model", **trust)(pixels).pooler_output,
    model.hiera(pixels).pooler_output,
)
for auto in (AutoProcessor, AutoVideoProcessor):
    processor = auto.from_pretrained("model", **trust)
    assert type(processor).__name__ == "HieraVideoVideoProcessor"
assert torch.equal(processor("video.mp4", return_tensors="pt")["pixel_values"], inputs)
with torch.no_grad():
    best = model(inputs).logits.softmax(-1).max()
(first, *_) = pipeline("video-classification", model="model", **trust)("video.mp4")
assert abs(first["score"] - best) < 1e-6
model.save_pretrained("again")
processor.save_pretrained("again")
again = AutoModelForVideoClassification.from_pretrained("again", **trust)
assert torch.equal(again(pixels).logits, logits)
assert "hiera_video" not in sys.modules
print("the same")
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


def test_a_saved_model_loads_where_this_package_is_not_installed(tmp_path: Path) -> None:
    write_video(tmp_path / "video.mp4", num_frames=24)
    ours = small_model("HieraForVideoClassification")
    ours.preprocessor = dump_preprocessor(ClipSettings(num_frames=4, stride=2, crop_size=64))
    ours.save_pretrained(tmp_path / "ours")
    inputs = load_clips(tmp_path / "video.mp4", ours, num_clips=1, num_crops=1)
    torch.save((clips(), ours(clips()).logits.detach(), inputs), tmp_path / "expected.pt")
    cls = transformers.AutoModelForVideoClassification
    cls.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "model")
    transformers.AutoVideoProcessor.from_pretrained(tmp_path / "ours").save_pretrained(
        tmp_path / "model"
    )
    done = run(WITHOUT.format(package="hiera_video") + LOADING, tmp_path)
    assert done.stdout == "the same\n", done.stderr
    # What was saved there is a checkpoint of ours, here.
    assert torch.equal(load_model(tmp_path / "again")(clips()).logits, ours(clips()).logits)


def test_code_beside_a_folder_of_ours(tmp_path: Path) -> None:
    """Both ways, in one process; what this package registers wins over the folder's code."""
    tmp_path /= "model"
    ours = saved_model("HieraForImageClassification", tmp_path)
    integration.add_code(tmp_path)
    for name in ("config.json", "preprocessor_config.json"):
        auto_map = json.loads((tmp_path / name).read_text())["auto_map"]
        assert {value.split(".")[0] for value in auto_map.values()} == {"modeling_hiera_video"}
    assert load_model(tmp_path).config == ours.config
    model = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path, trust_remote_code=True
    )
    assert type(model) is integration.HieraVideoForImageClassification
    with pytest.raises(CheckpointError, match=r"wanted a folder with a config\.json of ours"):
        integration.add_code(tmp_path / "nothing")
    (tmp_path.parent / "checksums.json").touch()
    with pytest.raises(CheckpointError, match=r"is part of a run.*: hiera-video convert"):
        integration.add_code(tmp_path)


def test_push_to_hub_uploads_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = []

    def upload(self: object, folder: str, repo_id: str, *args: object, **kwargs: object) -> None:
        uploaded.append((repo_id, {path.name for path in Path(folder).iterdir()}))

    class Hub:
        def create_repo(self, repo_id: str, **kwargs: object) -> object:
            return type("Repository", (), {"repo_id": repo_id})()

    saved_model("HieraForVideoClassification", tmp_path)
    model = transformers.AutoModelForVideoClassification.from_pretrained(tmp_path)
    cls = integration.HieraVideoPreTrainedModel
    monkeypatch.setattr(cls, "_upload_modified_files", upload)
    monkeypatch.setattr(transformers.utils.hub, "hf_api", Hub)
    monkeypatch.setattr(transformers.utils.hub, "create_and_tag_model_card", lambda *a, **k: Card())
    model.push_to_hub("me/model")
    model.save_pretrained(tmp_path / "kept", push_to_hub=True, repo_id="me/other")
    assert [repo_id for repo_id, _ in uploaded] == ["me/model", "me/other"]
    for _, files in uploaded:
        assert {"config.json", "model.safetensors", "modeling_hiera_video.py"} <= files


class Card:
    def save(self, path: str) -> None:
        Path(path).write_text("")


def test_the_file_holds_what_models_reach_and_no_more() -> None:
    source = bundle_source((("hiera_video.models.hiera", "HieraModel"),), "A model.")
    compile(source, "bundle", "exec")
    assert "class Attention(nn.Module)" in source
    assert "def gradient_checkpointing" not in source  # nothing here calls it
    for gone in ("from hiera_video", "def from_pretrained", "class Decoder", "safetensors"):
        assert gone not in source, gone


def test_names_that_two_modules_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private ones are told apart; public ones are refused."""
    texts = {
        "one": "def _help(x):\n    return x.size + 1\n\n\ndef one(x):\n    return _help(x)\n",
        "two": "from hiera_video.models.one import one\n\n_help = 2\n\n\n"
        "def two(x):\n    return one(x) * _help + x._help\n",
        "three": "from hiera_video.models.one import one\n\n\nclass A:\n    pass\n\n\n"
        "def three(x):\n    return one(x), A\n",
        "four": "from hiera_video.models.three import three\n\n\nclass A:\n    pass\n\n\n"
        "def four(x):\n    return three(x), A\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(text)
    import hiera_video.models

    monkeypatch.setattr(hiera_video.models, "__path__", [str(tmp_path)])
    source = Bundle([("hiera_video.models.two", "two")]).source("Two.")
    names: dict[str, object] = {}
    exec(source, names)
    x = type("X", (), {"size": 3, "_help": 10})
    assert names["two"](x) == 18  # type: ignore[operator]
    assert "_two_help = 2" in source
    with pytest.raises(ValueError, match="other modules have these names"):
        Bundle([("hiera_video.models.four", "four")]).source("Four.")


def test_nothing_else_imports_transformers(tmp_path: Path) -> None:
    code = """
import hiera_video, hiera_video.cli
from hiera_video import HieraConfig, HieraForVideoClassification, create_model, load_clips
create_model("hiera_tiny_224").save_pretrained("model")
assert "transformers" not in sys.modules
try:
    import hiera_video.integrations.transformers
except ImportError as error:
    print(error)
"""
    done = run(
        f"{WITHOUT.format(package='transformers')}sys.path.insert(0, {str(ROOT)!r})\n{code}",
        tmp_path,
    )
    assert done.stdout == (
        "hiera_video.integrations.transformers needs transformers, which is not installed: "
        'pip install "hiera-video[transformers]"\n'
    ), done.stderr
    assert (tmp_path / "model/preprocessor_config.json").is_file()
