"""Run and label folders of commit 4426532 (version 0.2) open, go on and keep what a person did, under today's names.

runs_of_0.2.tar.xz holds a demo of nine scenes; a finished run of the method then called `rounds`, with its evaluation
and a label folder in which one label was corrected and one rejected; a run stopped after iteration 3, and the metrics
with which that commit ended when it went on. 99% of the values of the tensors are zero, so that the file is small.
"""

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import swsss
from swsss.method.model import load_network
from swsss.method.recipe import Recipe
from swsss.method.renamed import RENAMED
from swsss.photos.files import read_json, write_json
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels
from swsss.runs.label_folder import Judgements, read_corrected, write_pseudo_labels
from swsss.runs.quality import evaluate_once
from swsss.runs.run_folder import read_metrics, read_recipe


@pytest.fixture
def old(tmp_path):
    "The unpacked folders, their data where they now are."
    with tarfile.open(Path(__file__).parent / "runs_of_0.2.tar.xz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if sys.version_info >= (3, 11, 4) else {}))
    for about in tmp_path.glob("runs/*/run.json"):
        write_json(about, read_json(about) | {"data": str(tmp_path / "scenes")})
    torch.set_num_threads(1)
    return tmp_path


def test_its_recipe_reads_under_todays_names(old):
    kept, recipe = read_json(old / "runs/finished/recipe.json")["recipe"], read_recipe(old / "runs/finished")
    assert kept.keys() & RENAMED.keys() == RENAMED.keys() and not recipe.keys() & RENAMED.keys()
    assert (recipe["method"], recipe["augmentation"], recipe["refine"]) == ("self_training", "affine", True)
    assert (recipe["classifier_part"], recipe["repeat_threshold"]) == (kept["tag_part"], kept["repeat"])
    Recipe.paper(**recipe)


def test_a_stopped_run_goes_on_to_the_same_end(old, capsys):
    run, folder = old / "runs/stopped", VOCFolder(old / "scenes")
    swsss.train(Recipe.paper(**read_recipe(run)), folder, folder.listed("train"), run, "cpu")
    assert "3/8" in capsys.readouterr().out
    expected = pd.read_csv(old / "runs/went_on_metrics.csv")
    pd.testing.assert_frame_equal(read_metrics(run), expected, rtol=1e-4)


def test_a_finished_run_opens_and_its_numbers_hold(old, capsys):
    run, folder = old / "runs/finished", VOCFolder(old / "scenes")
    swsss.train(Recipe.paper(**read_recipe(run)), folder, folder.listed("train"), run, "cpu")
    assert "is trained already" in capsys.readouterr().out
    network = load_network(run / "hybrid.safetensors", device="cpu")
    assert network.refine and network.tag_classifier is not None
    before = (run / "evaluation.json").read_bytes()
    evaluate_once(run / "evaluation.json", "HybridNet", network, folder, True, scales=(1.0,))
    assert (run / "evaluation.json").read_bytes() == before, "measured again"
    (run / "evaluation.json").unlink()
    again = evaluate_once(run / "evaluation.json", "HybridNet", network, folder, True, scales=(1.0,))
    (entry,) = json.loads(before).values()
    assert again["miou"] == pytest.approx(entry["miou"], abs=1e-6)


def test_labels_open_and_labelling_goes_on(old):
    run, folder = old / "runs/finished", VOCFolder(old / "scenes")
    labels, network = run / "labels", load_network(run / "hybrid.safetensors", device="cpu")
    person = read_corrected(labels)
    kept = {path.name: read_labels(path) for path in labels.glob("*.png")}
    judged = Judgements(labels)
    assert len(person) == 1 and [judged.verdict(name) for name in folder.listed("trainaug")].count("rejected") == 1
    made_again = next(name for name in folder.listed("train") if f"{name}.png" in kept)
    (labels / f"{made_again}.png").unlink()
    made_by = {"network": "hybrid", "hybrid": network.about["digest"], "recipe": network.about["recipe"]}
    how = {"scales": (1.0,), "strong": folder.listed("train"), "progress": False}
    write_pseudo_labels(labels, folder, folder.listed("trainaug"), network, made_by, **how)
    assert read_corrected(labels) == person
    for name, before in kept.items():
        assert np.array_equal(read_labels(labels / name), before), name


def test_an_old_name_is_answered_with_the_new_one():
    for name, new in RENAMED.items():
        with pytest.raises(ValueError, match=f"'{name}' is called '{new}' now"):
            Recipe.paper(**{name: True})
    with pytest.raises(ValueError, match="'rounds' is called 'self_training' now"):
        Recipe.paper(method="rounds")
