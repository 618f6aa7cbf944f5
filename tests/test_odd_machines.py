"What a machine may be like: a token on a command line, a umask, no home, MPLBACKEND=Agg, YAML 1.1, an image alone."

import os
import pwd
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import nbformat
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from packaging.requirements import Requirement
from run_folder import PATIENCE, QUICK, results
from run_notebook_command import ROOT, run_notebook_command

from swsss.method.recipe import Recipe
from swsss.photos.files import read_json
from swsss.photos.folder import VOCFolder
from swsss.runs import training as train_room

QUICK_VERB = {"recipe": "demo", "split": 12, "iterations": 2, "channels": 8, "crop": 32, "workers": 0, "threads": 1}
SECRET = "c0ffee5ecret"


# what a run says of itself

SERVER = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(startup_timeout={patience})
reply = client.execute_interactive({code!r}, timeout={patience})
manager.shutdown_kernel(now=True)
assert reply["content"]["status"] == "ok", reply
"""
BEGIN = """
from swsss.photos.folder import VOCFolder
from swsss.method.recipe import Recipe
from swsss.runs.run_folder import Run
with Run({run!r}, Recipe.demo(), VOCFolder({root!r})):
    pass
"""


def everything_in(run):
    return b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "options",
    [[f"--IdentityProvider.token={SECRET}"], ["--ServerApp.password", SECRET], [f"http://host:1/?token={SECRET}"]],
)
def test_the_token_of_the_server_that_started_the_kernel_is_not_kept(demo, tmp_path, options):
    run = tmp_path / "run"
    code = BEGIN.format(run=str(run), root=str(demo))
    server = tmp_path / "jupyter-lab"
    server.write_text(SERVER.format(code=code, patience=PATIENCE), encoding="utf-8")
    done = subprocess.run([sys.executable, server, *options], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    kept = read_json(run / "run.json")["command"]
    assert SECRET.encode() not in everything_in(run) and any("jupyter-lab" in part for part in kept)


@pytest.mark.parametrize("options", [[f"--api-key={SECRET}"], ["--hub-token", SECRET], [f"https://me:{SECRET}@host/x"]])
def test_a_scripts_own_secrets_are_not_kept(demo, tmp_path, options):
    code = BEGIN.format(run=str(tmp_path / "run"), root=str(demo))
    command = [sys.executable, "-c", code, "--lr", "0.1", *options]
    subprocess.run(command, check=True, cwd=ROOT)
    kept = read_json(tmp_path / "run/run.json")["command"]
    assert SECRET.encode() not in everything_in(tmp_path / "run")
    assert kept[1:3] == ["--lr", "0.1"] and len(kept) == 3 + len(options)


def test_all_files_of_a_run_may_be_read_by_whom_the_umask_says(demo, tmp_path):
    folder, before = VOCFolder(demo), os.umask(0o027)
    try:
        torch.set_num_threads(1)
        train_room.train(QUICK.change(workers=0, iterations=4), folder, folder.listed("train"), tmp_path / "run", "cpu")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {"hybrid.safetensors", "pseudo.safetensors", "recipe.json", "metrics.csv"} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o640 and name != ".lock"} == {}


# a machine without this and that


def test_a_user_without_a_name_or_a_home(demo, monkeypatch):
    "What was found in files is then not kept, and the check is as it was."

    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(RuntimeError):
        Path.home()
    folder = VOCFolder(demo)
    assert folder.check(progress=False) == []
    with_home = folder.contents(folder.listed("train"))
    monkeypatch.undo()
    assert folder.contents(folder.listed("train")) == with_home


@pytest.mark.parametrize("backend", ["Agg", "svg", "TkAgg"])
def test_an_executed_notebook_has_its_pictures(demo, tmp_path, monkeypatch, backend):
    monkeypatch.setenv("MPLBACKEND", backend)
    parameters = {**QUICK_VERB, "data": str(demo), "runs": str(tmp_path / "runs")}
    ended, text = run_notebook_command("train_pct", tmp_path / "out.ipynb", **parameters)
    assert ended, text
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    drawn = [cell for cell in cells if cell.cell_type == "code" and re.search(r"show_figure\(", cell.source)]
    pictures = [any("image/png" in output.get("data", {}) for output in cell.outputs) for cell in drawn]
    assert len(pictures) >= 3 and all(pictures)


def test_a_way_to_draw_into_notebooks_is_left_alone(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    manager, client = start_new_kernel(startup_timeout=PATIENCE)
    code = "import matplotlib; from swsss.runs.notebook import Parameters; Parameters(); "
    code += "print(matplotlib.get_backend())"
    said = []
    try:
        client.execute_interactive(code, timeout=PATIENCE, output_hook=lambda message: said.append(message["content"]))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "inline" in "".join(content.get("text", "") for content in said)


# numbers in YAML


@pytest.mark.parametrize("how", ["-y", "-f"])
def test_an_exponent_without_a_point_is_a_number(demo, tmp_path, how):
    "As somebody writes it: papermill reads YAML 1.1, to which that is a text."
    lines = {
        "data": demo,
        "runs": tmp_path / "runs",
        **QUICK_VERB,
        "lr": "1e-3",
        "weight_decay": "1E-2",
        "tag_weight": "2e0",
    }
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (tmp_path / "parameters.yaml").write_text(text, encoding="utf-8")
    out, given = tmp_path / "out.ipynb", text if how == "-y" else tmp_path / "parameters.yaml"
    command = [sys.executable, "-m", "papermill", ROOT / "nbs/train_pct.ipynb", out, "--no-progress-bar", how, given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    [run] = (tmp_path / "runs").iterdir()
    kept = read_json(run / "recipe.json")["recipe"]
    assert [kept[name] for name in ("lr", "weight_decay", "tag_weight")] == [0.001, 0.01, 2.0]


def test_every_number_of_a_recipe_may_have_an_exponent():
    for name, value in Recipe.demo().flat().items():
        if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and name not in ("split", "crop", "output_stride")
        ):
            assert Recipe.demo(**{name: f"{value:e}"}) == Recipe.demo(), name
    for wrong in ("0.1", "one", "1e", "e3", "1e-3x", "0x1e3"):
        with pytest.raises(ValueError, match="lr='"):
            Recipe.demo(lr=wrong)


# one image alone

ALONE = [
    {"method": "ce", "num_strong": 1},
    {"method": "pct", "num_strong": 2, "num_weak": 1, "joint_batch_norm": False},
    {
        "method": "self_training",
        "classifier_weight": 0.0,
        "round_strong": 0,
        "round_weak": 1,
        "rounds": 1,
        "passes_before_rounds": 0,
    },
]


@pytest.mark.parametrize("backbone", ["resnest14d", "skresnet18"])
@pytest.mark.parametrize("changes", ALONE, ids=["ce", "pct", "rounds"])
def test_one_image_alone_is_refused_before_the_first_step(demo, tmp_path, monkeypatch, backbone, changes):
    folder = VOCFolder(demo)
    recipe = QUICK.change(backbone=backbone, crop=64, workers=0, iterations=10, **changes)
    monkeypatch.setattr(train_room, "step_losses", lambda *_: pytest.fail("a step was taken"))
    with pytest.raises(ValueError, match=f"backbone={backbone} normalises over the images of a batch") as refused:
        train_room.train(recipe, folder, folder.listed("train"), tmp_path / "run", "cpu")
    assert "pass 2 or more of each" in str(refused.value) and "Expected more than" not in str(refused.value)


@pytest.mark.parametrize("changes", [{"num_strong": 2}, {"num_strong": 1, "backbone": "resnet18"}])
def test_two_images_or_another_backbone_will_do(demo, tmp_path, changes):
    folder, torch_threads = VOCFolder(demo), torch.get_num_threads()
    torch.set_num_threads(1)
    recipe = QUICK.change(
        **{"backbone": "resnest14d", "crop": 64, "workers": 0, "iterations": 1, "method": "ce", **changes}
    )
    train_room.train(recipe, folder, folder.listed("train"), tmp_path / "run", "cpu")
    torch.set_num_threads(torch_threads)
    assert (tmp_path / "run/hybrid.safetensors").is_file()


# dependencies


def test_no_version_with_a_published_advisory_is_allowed():
    "The first version without it, of those that are known of; opencv-python's is that of the libraries it carries."
    settings = ConfigParser()
    settings.read(ROOT / "settings.ini", encoding="utf-8")
    asked = " ".join(settings["DEFAULT"][key] for key in ("requirements", "dev_requirements")).split()
    asked = {requirement.name: requirement.specifier for requirement in map(Requirement, asked)}
    last_with_one = {"opencv-python": "4.11.0.86", "pillow": "11.2.1", "filelock": "3.20.0", "jupyterlab": "4.4.7"}
    first_without = {"opencv-python": "4.12.0.88", "pillow": "11.3.0", "filelock": "3.20.1", "jupyterlab": "4.4.8"}
    assert [name for name, version in last_with_one.items() if version in asked[name]] == []
    assert [name for name, version in first_without.items() if version not in asked[name]] == []


# a newer Python

FORKSERVER = """
import multiprocessing, torch
from swsss.photos.folder import VOCFolder
from swsss.method.recipe import Recipe
from swsss.runs.training import train
multiprocessing.set_start_method({method!r})
torch.set_num_threads(1)
folder = VOCFolder({root!r})
train(Recipe.demo(**{changes!r}), folder, folder.listed("train"), {run!r}, "cpu")
"""


def test_workers_that_are_not_forked(demo, tmp_path):
    "Python 3.14 begins them from a server on Linux, as macOS and Windows spawn them: all they need must be pickled."
    changes = QUICK.flat() | {"workers": 2, "iterations": 4}
    ended = {}
    for method in ("fork", "forkserver", "spawn"):
        code = FORKSERVER.format(method=method, root=str(demo), changes=changes, run=str(tmp_path / method))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr[-2000:]
        ended[method] = results(tmp_path / method)
    assert ended["forkserver"] == ended["fork"] == ended["spawn"]
