"The README's example does what it says."

import re

import numpy as np
from PIL import Image

from swsss.method.model import DeepLabV3Plus, save_checkpoint
from swsss.photos.files import project_path, write_json


def test_the_example_in_python(tmp_path, monkeypatch):
    [example] = re.findall(r"```python\n(.*?)```", project_path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    network = DeepLabV3Plus(3, "test_resnet", "none", channels=8)
    save_checkpoint(network, tmp_path / "runs/mine/hybrid.safetensors", classes=["background", "cat", "dog"])
    write_json(tmp_path / "runs/mine/recipe.json", {})
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(example, names)
    assert names["labels"].shape == (40, 50) and set(np.unique(names["labels"])) <= {0, 2}
    assert names["probabilities"].shape == (3, 40, 50) and names["net"].classes[2] == "dog"
