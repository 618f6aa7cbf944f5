"Labels that a person corrected are learned from as masks, by a run that keeps them."

import numpy as np
import pytest
import torch
from run_notebook_command import run_notebook_command
from safetensors.torch import load_file

from swsss.photos.demo import draw_demo
from swsss.photos.files import write_json
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels, write_labels
from swsss.runs.label_folder import read_corrected, write_corrected
from swsss.runs.run_folder import masks_of

SMALL = {
    "recipe": "demo",
    "split": 3,
    "iterations": 3,
    "channels": 16,
    "crop": 32,
    "num_strong": 2,
    "num_weak": 2,
    "workers": 0,
}


def papermill(home, notebook, **parameters):
    "Run a notebook on one core, with its runs at home."
    how = {"runs": str(home / "runs"), "device": "cpu", "threads": 1}
    return run_notebook_command(notebook, home / f"{notebook}.ipynb", **how, **parameters)


@pytest.fixture
def home(tmp_path):
    "A folder with labels that are all background."
    folder = VOCFolder(draw_demo(tmp_path / "demo", strong=3, weak=5, val=2))
    for name in folder.listed("trainaug"):
        write_labels(tmp_path / "labels" / f"{name}.png", np.zeros((64, 64), np.uint8))
    write_json(tmp_path / "labels/labels.json", {"network": "hybrid", "classes": folder.classes})
    return tmp_path


def test_corrected_labels_are_masks(home):
    folder = VOCFolder(home / "demo")
    strong, weak = folder.listed("train"), folder.listed("trainaug")[3:]
    how = SMALL | {"data": str(home / "demo"), "corrected": str(home / "labels")}
    done, said = papermill(home, "train_pct", **how)
    assert not done and "has no corrected label of a photo without a mask" in said and not (home / "runs").exists()

    corrected = sorted(weak[1:3])
    write_corrected(home / "labels", ((name, folder.labels(name)) for name in corrected))
    done, said = papermill(home, "train_pct", **how)
    run = home / "runs/demo-3-pct-seed0-corrected"
    assert done and f"and 2 labels of a person, kept in {run}/masks" in said, said
    assert masks_of(run) == corrected

    (home / "five.txt").write_text("\n".join([*strong, *corrected]))  # the same five as true masks
    true = {"data": str(home / "demo"), "split": str(home / "five.txt"), "name": "true"}
    done, said = papermill(home, "train_pct", **SMALL | true)
    assert done, said
    one, other = (load_file(path / "hybrid.safetensors") for path in (run, home / "runs/true"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)

    done, said = papermill(home, "make_labels", run=str(run), scales=1)
    assert done and read_corrected(run / "labels") == corrected, said
    assert all(np.array_equal(read_labels(run / f"labels/{name}.png"), folder.labels(name)) for name in corrected)

    write_corrected(home / "labels", [(weak[3], folder.labels(weak[3]))])
    done, said = papermill(home, "train_pct", **how)
    assert not done and "began with 2 labels as masks; the 3 there are now differ" in said
    done, said = papermill(home, "train_pct", **how | {"corrected": "", "name": run.name})
    assert done and "and 2 labels of a person" in said and "is trained already" in said, said
