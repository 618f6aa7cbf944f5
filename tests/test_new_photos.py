"A trained network labels photos that nobody sorted: any folder, no lists, no tags."

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from swsss.method.model import DeepLabV3Plus, save_checkpoint
from swsss.photos.files import write_json
from swsss.photos.images import read_labels

ROOT = Path(__file__).parent.parent
CLASSES = ["background", "cat", "dog"]


def make_labels(out, **parameters):
    "Run the verb: whether it ended well, and what its notebook printed or raised."
    command = [sys.executable, "-m", "papermill", ROOT / "nbs/make_labels.ipynb", out, "--no-progress-bar"]
    parameters |= {"scales": 1, "threads": 1, "device": "cpu"}
    command += ["-y", json.dumps(parameters)]
    env = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # agg would show no picture
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    outputs = [output for cell in nbformat.read(out, 4).cells for output in cell.get("outputs", [])]
    said = [output.get("text", "") or output.get("evalue", "") for output in outputs]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    return done.returncode == 0, "".join(said), pictures


@pytest.fixture
def home(tmp_path):
    "Photos as they come off a phone, one of them damaged, and a run that has ended."
    rng = np.random.default_rng(0)
    for name, size in {"IMG_1.JPG": (90, 60), "b.png": (50, 70), "trip/c.jpeg": (64, 64), "bad.jpg": (64, 64)}.items():
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    whole = (tmp_path / "album/bad.jpg").read_bytes()
    (tmp_path / "album/bad.jpg").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "album/._b.png").write_bytes(b"a Mac's")
    torch.manual_seed(0)
    network = DeepLabV3Plus(3, "test_resnet", "none", channels=8, longest_side=48)
    save_checkpoint(network, tmp_path / "runs/mine/hybrid.safetensors", classes=CLASSES)
    write_json(tmp_path / "runs/mine/recipe.json", {})
    return tmp_path


def test_new_photos_are_labelled_and_gone_on_with(home):
    weights = str(home / "runs/mine/hybrid.safetensors")
    done, said, pictures = make_labels(home / "1.ipynb", weights=weights, photos=str(home / "album"))
    assert done, said
    labels = home / "album-labels"
    assert "4 photos" in said and "0 of them with tags" in said and f"Labels go to {labels}" in said
    assert "Left out: " in said and "bad.jpg cannot be read" in said
    assert "1 of 4 photos could not be read" in said and pictures >= 2
    for name, size in {"IMG_1": (90, 60), "b": (50, 70), "trip/c": (64, 64)}.items():
        found = read_labels(labels / f"{name}.png")
        assert found.shape == size and found.max() < 3
        with Image.open(labels / "overlays" / f"{name}.jpg") as drawn:
            assert drawn.size == size[::-1]
    scores = pd.read_csv(labels / "scores.csv")
    assert list(scores["name"]) == ["IMG_1", "b", "trip/c"] and scores["confidence"].between(1 / 3, 1).all()

    before = {path: path.stat().st_mtime_ns for path in labels.rglob("*.*g")}
    (labels / "trip/c.png").unlink()  # as if it had been stopped before it, with a photo more by now
    shutil.copy(home / "album/b.png", home / "album/bad.jpg.png")
    done, said, _ = make_labels(home / "2.ipynb", run="mine", runs=str(home / "runs"), photos=str(home / "album"))
    assert done, said
    assert "2 of 5 labels are there already" in said
    after = {path: path.stat().st_mtime_ns for path in labels.rglob("*.*g")}
    changed = {path.relative_to(labels).as_posix() for path in after if after[path] != before.get(path)}
    assert changed == {"trip/c.png", "overlays/trip/c.jpg", "bad.jpg.png", "overlays/bad.jpg.jpg"}


def test_tags_are_used_where_they_are_given(home):
    (home / "tags.csv").write_text("image,tags\nIMG_1.JPG,dog\n")
    parameters = {"weights": str(home / "runs/mine"), "photos": str(home / "album"), "labels": str(home / "out")}
    done, said, _ = make_labels(home / "1.ipynb", tags=str(home / "tags.csv"), **parameters)
    assert done, said
    assert "1 of them with tags" in said and f"Labels go to {home / 'out'}" in said
    assert 1 not in read_labels(home / "out/IMG_1.png")
    done, said, _ = make_labels(home / "2.ipynb", **parameters)
    assert not done and "holds labels made another way: data" in said


@pytest.mark.parametrize(
    ("photos", "says"),
    [
        ("nowhere", "There is no folder"),
        ("empty", "only no file at all: put some there"),
        ("others", "only 2 .dng: put some there, saved as JPEG"),
        ("ruined", "none of the 1 photos could be read"),
    ],
)
def test_a_folder_without_photos_is_one_sentence(home, photos, says):
    for folder, files in {"empty": [], "others": ["a.dng", "b.DNG"], "ruined": ["a.jpg"]}.items():
        (home / folder).mkdir()
        for file in files:
            (home / folder / file).write_bytes(b"")
    done, said, _ = make_labels(home / "1.ipynb", weights=str(home / "runs/mine"), photos=str(home / photos))
    assert not done and says in said
