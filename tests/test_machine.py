"Machines that lack something: git, shared memory, an encoding that knows the classes' names, or the wish to run long."

import os
import shutil
import subprocess
import sys
import time
from functools import partial

import loky
import pytest
from run_folder import at_step, die, go_on, results, rows, train
from safetensors.torch import load

from swsss.method.recipe import Recipe
from swsss.photos.folder import VOCFolder
from swsss.runs.training import load_batches, networks_to_train

TRAIN = """
import torch
from pathlib import Path
from swsss.photos.folder import VOCFolder
from swsss.method.recipe import Recipe
from swsss.runs.training import train
torch.set_num_threads(1)
folder = VOCFolder({root!r})
train(Recipe.demo(**{changes!r}), folder, folder.listed("train"), {run!r}, "cpu")
"""
QUICK = {"channels": 8, "crop": 32, "num_strong": 2, "num_weak": 2, "iterations": 4, "log_every": 1, "save_every": 2}
QUICK |= {"snapshots": 1, "snapshot_every": 4, "workers": 0}


def python(code, *before, **environment):
    "Run code in a process of its own, with other variables and behind a command such as unshare."
    command = [*before, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=600)


def script(root, run, **changes):
    "Code that trains."
    return TRAIN.format(root=str(root), run=str(run), changes={**QUICK, **changes})


def in_small_memory():
    "A command prefix: /dev/shm of 64 MB, as containers have it."
    if not shutil.which("unshare") or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a mount namespace of one's own is not permitted here")
    return ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$0" "$@"']


def test_no_git_on_the_path(demo, tmp_path):
    done = python(script(demo, tmp_path / "run"), PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/finished.json").is_file()


def test_little_shared_memory_is_named_and_the_advice_works(demo, tmp_path):
    large = {"crop": 384, "num_strong": 5, "num_weak": 5, "iterations": 1, "output_stride": 32}
    prefix, begun = in_small_memory(), time.monotonic()
    done = python(script(demo, tmp_path / "run", **large, workers=2), *prefix)
    assert done.returncode == 1 and time.monotonic() - begun < 120
    for word in ("shared memory", "workers=0", "--shm-size"):
        assert word in done.stderr, done.stderr
    done = python(script(demo, tmp_path / "run", **large, workers=0), *prefix)  # the same run, as the message says
    assert done.returncode == 0, done.stderr


def test_class_names_in_a_locale_that_does_not_know_them(demo, tmp_path):
    root = shutil.copytree(demo, tmp_path / "demo")
    for file in (root / "classes.txt", root / "tags.csv"):
        file.write_text(file.read_text(encoding="utf-8").replace("dotted star", "Fußgänger 人"), encoding="utf-8")
    assert "Fußgänger 人" in VOCFolder(root).classes
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    stop = "import swsss.runs.training as t\nplain, n = t.step_losses, [0]\n"
    stop += (
        "def step(*a):\n    n[0] += 1\n    assert n[0] < 4, 'on purpose'\n    return plain(*a)\nt.step_losses = step\n"
    )
    done = python(stop + script(root, tmp_path / "run"), **ascii_only)
    assert "on purpose" in done.stderr and rows(tmp_path / "run") == 4
    done = python(script(root, tmp_path / "run"), **ascii_only)
    assert done.returncode == 0, done.stderr
    assert "iou:Fußgänger 人" in (tmp_path / "run/metrics.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("changes", [{"log_every": 2, "snapshot_every": 3, "save_every": 5, "workers": 1}])
def test_bookkeeping_may_change_when_a_run_goes_on(demo, whole, tmp_path, changes):
    assert train(demo, tmp_path / "run", partial(at_step, 8, die), workers=0)[0] != 0
    go_on(demo, tmp_path / "run", **changes)
    ours, theirs = results(tmp_path / "run"), whole(0)[0]
    for name in ("hybrid.safetensors", "pseudo.safetensors"):
        tensors, others = load(ours[name]), load(theirs[name])
        assert all(tensors[key].equal(others[key]) for key in others)


def test_no_more_loader_workers_than_cores(demo, monkeypatch):
    "PyTorch warns of more at the start of each phase."
    recipe, folder = Recipe.demo(**{**QUICK, "workers": 4}), VOCFolder(demo)
    strong, weak = folder.listed("train"), folder.listed("trainaug")
    network = networks_to_train(recipe, folder.num_classes)["hybrid"]
    for cores, workers in ((1, 1), (3, 3), (8, 4)):
        monkeypatch.setattr(loky, "cpu_count", lambda cores=cores: cores)
        loader = load_batches(folder, strong, weak, recipe, network, recipe.phases(len(strong))[0])
        assert loader.num_workers == workers
