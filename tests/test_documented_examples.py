"""The examples that the documentation of Hiera in ``transformers`` has, with our names in them."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
import transformers
from PIL import Image
from transformers.utils.doc import PT_VISION_BASE_MODEL_SAMPLE

from tests.test_processor_transformers import PUBLISHED

#: Theirs -> ours, where the names differ.
NAMES = {
    "AutoImageProcessor": "HieraProcessor",
    "AutoBackbone": "HieraBackbone",
    "from transformers import": "from hiera_video import",
    "from datasets import load_dataset": "pass",
    "from huggingface_hub.utils import httpx": "pass",
}
#: The lines that fetch an image.
FETCHING = re.compile(r"url = .*\n>>> with .*\n\.\.\. .*|dataset = .*\n>>> image = .*")
#: As the tiny checkpoint of the hub, with a block a stage.
TINY = {"embed_dim": 96, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8], "num_labels": 1000}
PRE_TRAINING = {
    "num_query_pool": 2,
    "decoder_hidden_size": 32,
    "decoder_depth": 1,
    "decoder_num_heads": 2,
}


def example(documentation: str) -> str:
    """The code of a docstring."""
    (block,) = re.findall(r"```python\n(.*?)```", documentation, re.DOTALL)
    return dedent(block)


def documented() -> dict[str, str]:
    """The code of each example, by the class that it shows."""
    classes = ["HieraForPreTraining", "HieraForImageClassification", "HieraBackbone"]
    found = {name: example(getattr(transformers, name).forward.__doc__) for name in classes}
    found["HieraConfig"] = example(transformers.HieraConfig.__doc__ or "")
    # This one's code is not filled in, in some versions: their text of such examples is.
    own = PT_VISION_BASE_MODEL_SAMPLE.replace("{model_class}", "HieraModel")
    own = own.replace("{checkpoint}", "facebook/hiera-tiny-224-hf")
    found["HieraModel"] = example(own.replace("{expected_output}", "[1, 49, 768]"))
    return found


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random ones in the layout of ``transformers``, by the class that wrote them."""
    folders = {}
    for name, fields in (
        ("HieraForPreTraining", PRE_TRAINING),
        ("HieraForImageClassification", {}),
    ):
        folder = tmp_path_factory.mktemp(name)
        config = transformers.HieraConfig(**{**TINY, **fields})
        getattr(transformers, name)(config).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PUBLISHED))
        folders[name] = folder
    return folders


@pytest.mark.parametrize("shown", documented())
def test_a_documented_example_runs(
    shown: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    folder = checkpoints.get(shown, checkpoints["HieraForImageClassification"])
    code = documented()[shown]
    for theirs, ours in NAMES.items():
        code = code.replace(theirs, ours)
    code = re.sub(r'"facebook/hiera-[^"]+"', repr(str(folder)), code)
    image = f"from PIL import Image\n>>> image = Image.open({str(tmp_path / 'image.png')!r})"
    code = FETCHING.sub(lambda _: image, code)
    code = code.replace("\n...\n", "\nLABEL_...\n")  # what is printed of the predicted class
    test = doctest.DocTestParser().get_doctest(code, {}, shown, None, None)
    assert len(test.examples) > 2
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
