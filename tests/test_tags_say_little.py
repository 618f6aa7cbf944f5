"Where nearly every photo shows nearly every class, rounds are left out unless they are asked for."

import pytest
from run_notebook_command import run_notebook_command

from swsss.photos.demo import draw_demo
from swsss.photos.folder import VOCFolder
from swsss.runs.run_folder import read_recipe

QUICK = {
    "recipe": "demo",
    "method": "self_training",
    "split": 3,
    "iterations": 4,
    "channels": 16,
    "crop": 32,
    "workers": 0,
}


@pytest.mark.parametrize(("told", "asked", "done"), [("all", {}, 0), ("all", {"rounds": 1}, 1), ("its own", {}, 1)])
def test_rounds_are_left_out(tmp_path, told, asked, done):
    folder = VOCFolder(draw_demo(tmp_path / "demo", strong=3, weak=5, val=2))
    if told == "all":
        rows = (f"{name},{';'.join(folder.classes[1:])}" for name in folder.listed("trainaug"))
        (tmp_path / "demo/tags.csv").write_text("\n".join(["image,tags", *rows]))
    where = {
        "data": str(tmp_path / "demo"),
        "runs": str(tmp_path / "runs"),
        "name": "one",
        "device": "cpu",
        "threads": 1,
    }
    well, said = run_notebook_command("train_pct", tmp_path / "out.ipynb", **where, **QUICK, **asked)
    assert well, said
    assert read_recipe(tmp_path / "runs/one")["rounds"] == done
    assert ("tags rule out little" in said) == (not done)
