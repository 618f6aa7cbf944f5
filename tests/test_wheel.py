"The package as a user gets it: a wheel, installed and not linked, holds what the widgets need, and the notebooks."

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from installed import ALONE, PIP, ROOT, copy_source, environment

pytest_plugins = ["installed"]
TRY = """
from pathlib import Path
import swsss.explorer.widgets as w
print(Path(w.__file__).parent)
for widget, css in [(w.Keys(), "explorer"), (w.ThumbGrid(), "explorer"), (w.Panels(), "large"), (w.Editor(), "editor")]:
    assert "export default" in widget._esm and f".swsss-{css}" in widget._css, type(widget)
"""
FIND = "from swsss.photos.files import find_notebook; print(find_notebook('train_pct'))"
FOR_THE_CHECKOUT = {"index", "promises", "results", "self_training"}  # read, not run


def test_static_files_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("swsss/explorer/static/")}
    assert inside == {f"swsss/explorer/static/{path.name}" for path in (ROOT / "swsss/explorer/static").iterdir()}
    assert {"swsss/explorer/static/widgets.js", "swsss/explorer/static/widgets.css"} <= inside


def test_widgets_from_an_installed_wheel(site, tmp_path):
    how = {"cwd": tmp_path, "env": environment(site), "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", TRY], **how)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == site / "swsss" / "explorer"


def test_notebooks_that_people_run_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.endswith(".ipynb")}
    run = {path.stem for path in (ROOT / "nbs").glob("*.ipynb")} - FOR_THE_CHECKOUT
    assert inside == {f"swsss/notebooks/{name}.ipynb" for name in run}
    assert {"train_pct", "explore_pseudo_labels"} <= run


def test_an_installed_package_finds_its_own_notebooks(site):
    "Even inside a checkout, whose notebooks may be of another version."
    how = {"env": environment(site), "capture_output": True, "text": True, "check": True}
    done = subprocess.run([sys.executable, "-P", "-c", FIND], cwd=ROOT, **how)
    assert Path(done.stdout.strip()) == site / "swsss" / "notebooks" / "train_pct.ipynb"


def test_an_editable_install_finds_the_notebooks_of_its_checkout(tmp_path):
    (tmp_path / "checkout").mkdir()
    source, place = copy_source(tmp_path / "checkout"), tmp_path / "venv"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python, packages = next(place.glob("*/python")), next(place.rglob("site-packages"))
    (packages / "outer.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")), encoding="utf-8")
    subprocess.run([*PIP, "--python", python, "install", *ALONE, "-e", source], check=True, env=env)
    done = subprocess.run([python, "-c", FIND], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == source / "nbs" / "train_pct.ipynb"
