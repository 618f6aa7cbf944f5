"The same seed gives the same run, another seed another one; and a run folder tells how it was made."

import json
import subprocess

import pytest
from run_folder import QUICK, go_on, results
from safetensors import safe_open

from swsss.method.recipe import Recipe
from swsss.photos.files import project_path
from swsss.photos.folder import VOCFolder


@pytest.fixture(scope="module")
def again(demo, tmp_path_factory):
    "The whole run once more, in another process and folder."
    run = tmp_path_factory.mktemp("again") / "run"
    go_on(demo, run, workers=0)
    return run


def test_same_seed(whole, again):
    assert results(again) == whole(0)[0]


def test_other_seed(demo, whole, tmp_path):
    go_on(demo, tmp_path / "run", workers=0, seed=1)
    other, expected = results(tmp_path / "run"), whole(0)[0]
    assert other["hybrid.safetensors"] != expected["hybrid.safetensors"]
    assert other["metrics.csv"] != expected["metrics.csv"]


def test_run_folder_tells_how_it_was_made(demo, again):
    made = json.loads((again / "run.json").read_text())
    assert {"python", "swsss", "torch", "timm", "numpy", "safetensors"} <= made["versions"].keys()
    assert all(made["versions"].values())
    assert made["command"] and made["data"] == str(demo)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=project_path(".")
    )
    assert made["git"]["commit"] == (head.stdout.strip() or None)
    assert "changed" in made["git"]


def test_recipe_and_data_are_kept(demo, again):
    kept = json.loads((again / "recipe.json").read_text())
    assert Recipe.paper(**kept["recipe"]) == QUICK.change(workers=0)
    assert kept["data"] == VOCFolder(demo).fingerprint()
    with safe_open(again / "hybrid.safetensors", "pt") as file:
        assert '"seed": 0' in json.dumps(json.loads(file.metadata()["about"]))
