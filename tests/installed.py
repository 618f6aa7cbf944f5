"The package as a user gets it: a wheel, built once a session, installed and not linked, in a folder of its own."

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
ALONE = ["--no-deps", *["--no-build-isolation"] * bool(find_spec("setuptools"))]  # nothing is fetched where it is there


def copy_source(place):
    "A copy of what a wheel is built from, so that nothing is left behind here and nothing stray goes in."
    for name in ["setup.py", "settings.ini", "pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, place)
    shutil.copytree(ROOT / "swsss", place / "swsss", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "nbs", place / "nbs", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return place


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    "The wheel's file."
    source, out = copy_source(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", *ALONE, "-w", str(out), str(source)], check=True)
    return next(out.glob("swsss-*.whl"))


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory):
    "The folder that it is installed in, without what it depends on."
    place = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--no-deps", "--target", str(place), str(wheel)], check=True)
    return place


def environment(site):
    "Variables of a process that imports the installed package, and not this checkout's."
    return os.environ | {"PYTHONPATH": str(site), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}


def swsss(site, here, *arguments, **how):
    "Run the installed command in a folder: exit code, and what it printed."
    how = {"cwd": here, "env": environment(site), "capture_output": True, "text": True, "timeout": 900} | how
    return subprocess.run([sys.executable, site / "bin/swsss", *map(str, arguments)], check=False, **how)
