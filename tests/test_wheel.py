"The package as a user gets it: a wheel, installed and not linked, holds everything that the widgets need."

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRY = """
from pathlib import Path
import swsss.explorer.widgets as w
print(Path(w.__file__).parent)
for widget, css in [(w.Keys(), "explorer"), (w.ThumbGrid(), "explorer"), (w.Panels(), "large"), (w.Editor(), "editor")]:
    assert "export default" in widget._esm and f".swsss-{css}" in widget._css, type(widget)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "A wheel built from a copy of what git knows, so that nothing is left behind here and nothing stray goes in."
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ["setup.py", "settings.ini", "pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "swsss", source / "swsss", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(out), str(source)], check=True)
    return next(out.glob("swsss-*.whl"))


def test_static_files_are_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.startswith("swsss/explorer/static/")}
    assert inside == {f"swsss/explorer/static/{path.name}" for path in (ROOT / "swsss/explorer/static").iterdir()}
    assert {"swsss/explorer/static/widgets.js", "swsss/explorer/static/widgets.css"} <= inside


def test_widgets_from_an_installed_wheel(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "PYTHONPATH": str(tmp_path / "site")
    }
    done = subprocess.run([sys.executable, "-c", TRY], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tmp_path / "site" / "swsss"
