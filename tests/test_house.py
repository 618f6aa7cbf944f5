"The order of the rooms: a module imports only from rooms of lower numbers, and the method knows of no files."

import ast
import re
import subprocess
import sys

import pytest

from swsss.photos.files import project_path

NUMBERED = [re.fullmatch(r"(\d\d)_(\w+)", path.stem) for path in sorted(project_path("nbs").glob("*.ipynb"))]
ROOMS = {found[2]: int(found[1]) for found in NUMBERED if found}  # module -> number


def imported(source):
    "The modules that a module's source imports at any level: `os`, `swsss.photos.folder`; `.data` is `swsss.photos.folder`."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["swsss" if node.level else "", node.module]))
            yield from [base] if base != "swsss" else (f"swsss.{alias.name}" for alias in node.names)


def source_of(room):
    return project_path(f"swsss/{room}.py").read_text(encoding="utf-8")


def rooms_in(source):
    "The rooms that a module's source imports."
    return {name.split(".")[1] for name in imported(source) if name.startswith("swsss.")} & set(ROOMS)


def test_every_way_to_import_a_room_is_seen():
    ways = [
        "import swsss.photos.folder",
        "from swsss.photos.folder import x",
        "from swsss import data",
        "from .data import x",
    ]
    ways += [
        "from . import data",
        "def f():\n    if 1:\n        from swsss.photos.folder import x",
        "import swsss.photos.folder as d",
    ]
    assert {way: rooms_in(way) for way in ways} == {way: {"data"} for way in ways}


def test_no_two_rooms_share_a_number():
    assert len(ROOMS) > 10 and len(set(ROOMS.values())) == len(ROOMS), ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_from_lower_numbers(room):
    later = sorted(other for other in rooms_in(source_of(room)) if ROOMS[other] >= ROOMS[room])
    assert not later, f"{ROOMS[room]:02}_{room} imports from {', '.join(f'{ROOMS[r]:02}_{r}' for r in later)}"


@pytest.mark.parametrize("room", ROOMS)
def test_no_private_name_crosses_from_room_to_room(room):
    private = [
        alias.name
        for node in ast.walk(ast.parse(source_of(room)))
        if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("swsss"))
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.endswith("__")
    ]
    assert not private, private


def test_the_method_knows_of_no_files():
    assert "pct" in ROOMS
    found = {name.split(".")[0] for name in imported(source_of("pct"))} & {"json", "os", "pathlib", "subprocess"}
    assert not found, found


@pytest.mark.parametrize("module", ["swsss.photos.files", "swsss.photos.folder"])
def test_looking_at_photos_loads_no_pytorch(module):
    "It takes seconds, and is needed to train and to predict only."
    ask = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_public_face():
    "`import swsss` shows what a person needs, and loads PyTorch when that is used."
    ask = """
import sys, swsss
assert "torch" not in sys.modules
assert {"load", "VOCFolder", "Recipe", "train"} <= set(dir(swsss))
assert swsss.VOCFolder.__name__ == "VOCFolder" and "torch" not in sys.modules
import swsss.runs.training
assert callable(swsss.train) and swsss.Recipe.demo().seed == 0 and callable(swsss.load)
assert swsss.train.train is not None and swsss.train.__call__ is swsss.train.train
"""
    subprocess.run([sys.executable, "-c", ask], check=True)


@pytest.mark.parametrize("room", ROOMS)
def test_opencv_comes_from_one_room(room):
    "There it is said what to do where it cannot be imported."
    assert room == "images" or "cv2" not in set(imported(source_of(room)))


@pytest.mark.parametrize("room", ["data", "augment", "run"])
def test_without_the_libraries_of_a_screen_one_sentence_says_what_to_do(room, tmp_path):
    broken = 'raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")'
    (tmp_path / "cv2.py").write_text(broken, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import swsss.{room}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: OpenCV cannot be imported (libGL.so.1: cannot open shared object file")
    assert "apt-get install libgl1 libglib2.0-0" in last and "opencv-python-headless" in last
