"Both stages by papermill, on a demo folder small enough for it: done once, skipped when done, redone where it must be."

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from run_notebook_command import run_notebook_command

from swsss.method.model import PUBLISHED_NAMES, DeepLabV3Plus
from swsss.photos.demo import draw_demo
from swsss.photos.files import read_json
from swsss.photos.folder import VOCFolder
from swsss.photos.images import write_labels

ROOT = Path(__file__).parent.parent


def run(notebook, out, **parameters):
    "What an executed notebook printed; an AssertionError with its error where it failed."
    done, printed = run_notebook_command(notebook, out, **parameters)
    assert done, printed
    return printed


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A project of its own: data and runs."
    home = tmp_path_factory.mktemp("protocol")
    draw_demo(home / "demo", strong=4, weak=6, val=2)
    return home


def test_run_all_goes_on_and_redoes_only_what_it_must(home):
    quick = {"iterations": 2, "workers": 0}
    parameters = {"data": str(home / "demo"), "runs": str(home / "runs"), "name": "all", "recipe": "demo"}
    parameters |= {"splits": 9, "flip": False, "train": {**quick, "longest_side": 48}, "retrain": quick}
    printed = run("run_all", home / "1.ipynb", **parameters)
    assert "done before" not in printed and "were cut" in printed
    results = pd.read_csv(home / "runs/all/results.csv", index_col="split")
    assert list(results.index) == list(results["masks"]) == [4]  # 9 is cut to the 4 there are
    assert results.notna().all(axis=None) and len(results.columns) == 5
    measured = [read_json(path) for path in (home / "runs/all").glob("*/evaluation.json")]
    scales = [entry["scales"] for entries in measured for entry in entries.values()]
    assert len(measured) == 2 and all(each == [1.0] for each in scales)  # photos are seen reduced
    weights = (home / "runs/all/4-retrain/hybrid.safetensors").read_bytes()

    printed = run("run_all", home / "2.ipynb", **parameters)
    assert printed.count("done before") == 4
    pd.testing.assert_frame_equal(pd.read_csv(home / "runs/all/results.csv", index_col="split"), results)

    (home / "runs/all/4/make_labels.ipynb").unlink()  # its labels are there, so writing them again is quick
    printed = run("run_all", home / "3.ipynb", **parameters)
    assert printed.count("done before") == 2
    assert (home / "runs/all/4-retrain/hybrid.safetensors").read_bytes() == weights


def test_all_splits_listed_and_collected(home):
    "Listing writes nothing and leaves out what is done; collecting runs nothing and gives the same table."
    quick = {"iterations": 2, "workers": 0}
    parameters = {"data": str(home / "demo"), "runs": str(home / "runs"), "name": "all", "recipe": "demo"}
    parameters |= {"flip": False, "train": {**quick, "longest_side": 48}, "retrain": quick}
    before = (home / "runs/all/results.csv").read_bytes()
    printed = run("run_all", home / "4.ipynb", **parameters, splits="2, 4", list_runs=True)
    (line,) = [line for line in printed.splitlines() if line.startswith("mkdir -p ")]
    assert line.count(" -m papermill ") == 4 and f"{home}/runs/all/2/train_pct.ipynb" in line
    assert "\n4: done before" in printed and not (home / "runs/all/2").exists()
    assert (home / "runs/all/results.csv").read_bytes() == before

    printed = run("run_all", home / "5.ipynb", **parameters, splits="2, 4", only_collect=True)
    assert "1 of 2 splits are not done: 2" in printed and not (home / "runs/all/2").exists()
    assert (home / "runs/all/results.csv").read_bytes() == before


def test_labels_of_a_colleague_are_enough_for_stage_2(home):
    folder, export = VOCFolder(home / "demo"), home / "export"
    for name in folder.listed("trainaug")[2:8]:
        write_labels(export / "SegmentationClass" / f"{name}.png", folder.labels(name))
    parameters = {"data": str(home / "demo"), "runs": str(home / "runs"), "labels": str(export), "recipe": "demo"}
    parameters |= {"split": 3, "iterations": 2, "workers": 0, "scales": 1, "flip": False}
    printed = run("retrain", home / "own.ipynb", **parameters)
    assert "3 true masks and 5 labels" in printed and "2 photos of trainaug left out" in printed
    about = json.loads((home / "runs/demo-retrain/stage2.json").read_text())
    assert (about["masks"], about["trained_on"], about["made_by"]) == (
        3,
        8,
        {"imported": True, "classes": list(folder.classes)},
    )


def test_a_published_file_is_evaluated_by_the_same_notebook(home):
    network = DeepLabV3Plus(11, "resnet50s", weights=None)
    theirs = {ours: published for published, ours in PUBLISHED_NAMES.items()}

    def published_name(key):
        prefix = next((prefix for prefix in theirs if key.startswith(prefix)), "")
        return theirs.get(prefix, "") + key.removeprefix(prefix)

    torch.save({published_name(key): value for key, value in network.state_dict().items()}, home / "sub92_retrain.pth")
    parameters = {"data": str(home / "demo"), "runs": str(home / "runs"), "weights": str(home / "sub92_retrain.pth")}
    printed = run("evaluate", home / "published.ipynb", **parameters, with_tags=False, scales=1, flip=False)
    assert "sub92_retrain: mIoU" in printed and "without tags, one scale, no flips, CRF off" in printed
    (entry,) = json.loads((home / "runs/sub92_retrain/evaluation.json").read_text()).values()
    assert (entry["with_tags"], entry["crf"], len(entry["iou"])) == (False, False, 11)


def test_an_unknown_parameter_ends_the_run_before_anything_is_read(home):
    for notebook in ("evaluate", "make_labels", "retrain", "run_all"):
        with pytest.raises(AssertionError, match="unknown parameter 'scale'"):
            run(notebook, home / "wrong.ipynb", data=str(home / "nowhere"), scale=1)


def test_the_newest_run_is_never_the_retrained_one(home):
    "Step 2 of the README, given again after step 3."
    assert max((home / "runs/all").glob("*/metrics.csv"), key=lambda p: p.stat().st_mtime).parent.name == "4-retrain"
    printed = run("make_labels", home / "again.ipynb", runs=str(home / "runs"), scales=1, flip=False)
    assert f"to {home / 'runs/all/4/labels'}" in printed and "10 of 10 labels are there already" in printed


def test_two_lists_of_one_name_are_refused_before_training(home):
    for place in ("a", "b"):
        (home / place).mkdir()
        (home / place / "labeled.txt").write_text("strong_0000\n")
    lists = f"{home}/a/labeled.txt,{home}/b/labeled.txt"
    parameters = {"data": str(home / "demo"), "runs": str(home / "none"), "splits": lists}
    with pytest.raises(AssertionError, match="two lists are named labeled and would share a run folder"):
        run("run_all", home / "twice.ipynb", **parameters)
    assert not (home / "none").exists()


@pytest.mark.parametrize(("notebook", "more"), [("train_pct", ["-p", "split", "2"]), ("run_all", [])])
def test_names_that_papermill_read_as_numbers_are_refused(home, notebook, more):
    command = [sys.executable, "-m", "papermill", ROOT / "nbs" / f"{notebook}.ipynb", home / "number.ipynb"]
    command += ["-p", "data", home / "demo", "-p", "runs", home / "none", "-p", "name", "007", *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "pass it as `-r name TEXT`" in done.stderr[-300:]
    assert not (home / "none").exists()
