"""Run and label folders that version 0.1 wrote (commit 4b7d718) open, go on and can be measured.

old_runs.tar.xz holds a demo of nine scenes, a finished run with labels and judgements, a run stopped after iteration 2,
and the metrics with which that version ended when it went on. Nearly all values of the tensors were set to zero before,
so that the file is small.
"""

import json
import subprocess
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
from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import Judgements, read_scores, stage2_folder, write_pseudo_labels
from swsss.runs.quality import evaluate_once, find_evaluation
from swsss.runs.run_folder import find_run, find_snapshots, networks_of, read_metrics, read_recipe

ROOT = Path(__file__).parent.parent


@pytest.fixture
def old(tmp_path):
    "The unpacked folders, their data where they now are."
    with tarfile.open(Path(__file__).parent / "old_runs.tar.xz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # from 3.11.4
    for about in tmp_path.glob("runs/*/run.json"):
        about.write_text(about.read_text().replace("SCENES", str(tmp_path / "scenes")))
    return tmp_path


def test_a_stopped_run_goes_on_to_the_same_end(old, capsys):
    torch.set_num_threads(1)
    run, folder = old / "runs/stopped", VOCFolder(old / "scenes")
    recipe = Recipe.paper(**read_recipe(run))
    swsss.train(recipe, folder, folder.listed("train"), run, "cpu")
    assert "2/4" in capsys.readouterr().out
    expected = pd.read_csv(old / "runs/went_on_metrics.csv")
    pd.testing.assert_frame_equal(read_metrics(run), expected, rtol=1e-4)
    assert not list((run / "resume").iterdir())


def test_a_finished_run_opens(old, capsys):
    run, folder = find_run("finished", old / "runs"), VOCFolder(old / "scenes")
    swsss.train(Recipe.paper(**read_recipe(run)).change(workers=1), folder, folder.listed("train"), run, "cpu")
    assert "is trained already" in capsys.readouterr().out
    assert list(networks_of(run)) == ["hybrid", "pseudo"] and list(find_snapshots(run)) == [4]
    labeller = swsss.load(run, "cpu")
    assert labeller.classes == list(folder.classes)
    network = load_network(networks_of(run)["hybrid"], device="cpu")
    before = find_evaluation(run, "HybridNet", True, scales=[1.0])
    again = evaluate_once(run / "evaluation.json", "HybridNet", network, folder, True, scales=(1.0,))
    assert np.isclose(before["miou"], again["miou"], atol=0.02)


def test_its_labels_open_and_are_gone_on_with(old):
    run, folder = old / "runs/finished", VOCFolder(old / "scenes")
    labels, strong = run / "labels", folder.listed("train")
    scores = read_scores(labels)
    assert list(scores["strong"]) == [name in strong for name in scores["name"]]
    judgements = Judgements(labels)
    assert (judgements.verdict("weak_0000"), judgements.note("weak_0001")) == ("accepted", "edge")
    assert stage2_folder(folder, labels, strong, "accepted")[1] == [*strong, "weak_0000"]

    networks = {name: load_network(path, device="cpu") for name, path in networks_of(run).items()}
    about, before = networks["hybrid"].about, (labels / "weak_0000.png").read_bytes()
    made_by = {"network": "hybrid", **{name: n.about["digest"] for name, n in networks.items()}}
    made_by["recipe"] = about["recipe"]
    (labels / "weak_0001.png").unlink()
    options = {"other": networks["pseudo"], "class_iou": about["class_iou"], "power": 2.0, "strong": strong}
    again = write_pseudo_labels(
        labels, folder, folder.listed("trainaug"), networks["hybrid"], made_by, scales=(1.0,), progress=False, **options
    )
    pd.testing.assert_frame_equal(again, scores, atol=1e-3)
    assert (labels / "weak_0001.png").is_file() and (labels / "weak_0000.png").read_bytes() == before


def test_make_labels_finds_them(old):
    parameters = {"run": "finished", "runs": str(old / "runs"), "scales": 1, "threads": 1}
    command = [sys.executable, "-m", "papermill", ROOT / "nbs/make_labels.ipynb", old / "out.ipynb"]
    done = subprocess.run([*command, "-y", json.dumps(parameters)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "7 of 7 labels are there already" in (old / "out.ipynb").read_text()
