"Where nearly every photo shows nearly every class, rounds are left out unless `rounds` is given."

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


@pytest.mark.parametrize(
    ("tags", "given", "rounds"),
    [("all classes", {}, 0), ("all classes", {"rounds": 1}, 1), ("those shown", {}, 1)],
)
def test_rounds_are_left_out(tmp_path, tags, given, rounds):
    folder = VOCFolder(draw_demo(tmp_path / "demo", strong=3, weak=5, val=2))
    if tags == "all classes":
        rows = (f"{name},{';'.join(folder.classes[1:])}" for name in folder.listed("trainaug"))
        (tmp_path / "demo/tags.csv").write_text("\n".join(["image,tags", *rows]))
    where = {
        "data": str(tmp_path / "demo"),
        "runs": str(tmp_path / "runs"),
        "name": "one",
        "device": "cpu",
        "threads": 1,
    }
    parameters = where | QUICK | given
    ok, output = run_notebook_command("train_pct", tmp_path / "out.ipynb", **parameters)
    assert ok, output
    assert read_recipe(tmp_path / "runs/one")["rounds"] == rounds
    assert ("tags rule out little" in output) == (not rounds)
