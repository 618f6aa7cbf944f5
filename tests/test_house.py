"The four storeys: a module imports only from storeys below its own, and inside one from lower numbers."

import ast
import re
import subprocess
import sys

import pytest

from swsss.photos.files import project_path

STOREYS = ["photos", "method", "runs", "explorer"]  # from the ground up
RUN_BY_PEOPLE = {  # all that lies in nbs/ itself
    *("train_pct", "make_labels", "retrain", "evaluate", "run_all", "study", "replay", "export_labels", "import_masks"),
    *("learn_quickly", "costs", "make_pool", "label_pool"),
    *("explore_pseudo_labels", "explore_dynamic_evaluation", "self_training"),
    *("index", "results", "backbones", "promises"),
}


def numbered(storey):
    "Module -> number, by the names of a storey's notebooks."
    found = [re.fullmatch(r"(\d\d)_(\w+)", path.stem) for path in project_path(f"nbs/{storey}").glob("*.ipynb")]
    assert all(found), f"a notebook of nbs/{storey} has no number"
    return {match[2]: int(match[1]) for match in found}


PLACES = {f"{s}.{name}": (STOREYS.index(s), number) for s in STOREYS for name, number in numbered(s).items()}


def imported(source, package):
    "The modules that a source imports at any level, by their full names."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def source_of(module):
    return project_path(f"swsss/{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def ours_in(source, package):
    "Which of our modules a source imports."
    found = imported(source, package)
    return {name.removeprefix("swsss.") for name in found} & PLACES.keys()


def test_every_way_to_import_a_module_is_seen():
    ways = ["import swsss.photos.folder", "from swsss.photos.folder import x", "from swsss.photos import folder"]
    ways += [
        "from .folder import x",
        "from . import folder",
        "from ..photos.folder import x",
        "from ..photos import folder",
    ]
    ways += ["def f():\n    if 1:\n        from swsss.photos.folder import x", "import swsss.photos.folder as d"]
    assert {way: ours_in(way, "swsss.photos") for way in ways} == {way: {"photos.folder"} for way in ways}


def test_a_storey_is_a_folder_of_notebooks_and_of_modules_alike():
    for storey in STOREYS:
        modules = {path.stem for path in project_path(f"swsss/{storey}").glob("*.py")} - {"__init__"}
        assert modules == set(numbered(storey)), storey
        assert len(set(numbered(storey).values())) == len(modules), f"two numbers are the same in {storey}"
    assert {path.stem for path in project_path("swsss").glob("*.py")} == {"__init__", "_modidx"}
    assert {path.stem for path in project_path("nbs").glob("*.ipynb")} == RUN_BY_PEOPLE


@pytest.mark.parametrize("module", PLACES)
def test_modules_import_only_from_below(module):
    package = "swsss." + module.split(".")[0]
    above = sorted(other for other in ours_in(source_of(module), package) if PLACES[other] >= PLACES[module])
    assert not above, f"{module} imports {', '.join(above)}"


@pytest.mark.parametrize("module", PLACES)
def test_no_private_name_crosses_from_module_to_module(module):
    private = [
        alias.name
        for node in ast.walk(ast.parse(source_of(module)))
        if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).startswith("swsss"))
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.endswith("__")
    ]
    assert not private, private


def test_the_method_knows_of_no_files():
    found = imported(source_of("method.pct"), "swsss.method")
    assert not {name.split(".")[0] for name in found} & {"json", "os", "pathlib", "subprocess"}


@pytest.mark.parametrize("module", ["swsss.photos.files", "swsss.photos.folder"])
def test_looking_at_photos_loads_no_pytorch(module):
    "It takes seconds, and is needed to train and to predict only."
    ask = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


FACE = [
    "VOCFolder",
    "Recipe",
    "train",
    "load",
    "class_aware_cross_entropy",
    "class_aware_log_softmax",
    "tag_loss",
    "pct_losses",
    "DynamicEvaluation",
    "DeepLabV3Plus",
    "predict",
    "confusion_matrix",
    "iou",
]


def test_the_public_face():
    "`import swsss` shows what people need, each in its docstring, and loads PyTorch when that is used."
    ask = f"""
import sys, swsss
assert "torch" not in sys.modules
assert {set(FACE)} <= set(dir(swsss))
for name in swsss.__all__:
    assert name in swsss.__doc__, name
assert swsss.VOCFolder.__name__ == "VOCFolder" and "torch" not in sys.modules
for name in swsss.__all__:
    assert callable(getattr(swsss, name)), name
assert swsss.Recipe.demo().seed == 0
from swsss import *
assert train is swsss.train
"""
    subprocess.run([sys.executable, "-c", ask], check=True)


def test_no_module_has_the_name_of_a_public_function_or_is_callable():
    "`swsss.train` is a function and nothing else, whatever has been imported before."
    ask = """
import importlib, pkgutil, types, swsss
for module in pkgutil.walk_packages(swsss.__path__, "swsss."):
    assert type(importlib.import_module(module.name)) is types.ModuleType, module.name
assert not {module.name for module in pkgutil.iter_modules(swsss.__path__)} & set(swsss.__all__)
assert isinstance(swsss.train, types.FunctionType) and isinstance(swsss.predict, types.FunctionType)
"""
    subprocess.run([sys.executable, "-c", ask], check=True)


@pytest.mark.parametrize("module", PLACES)
def test_opencv_comes_from_one_module(module):
    "There it is said what to do where it cannot be imported."
    assert module == "photos.images" or "cv2" not in set(imported(source_of(module), "swsss"))


@pytest.mark.parametrize("module", ["photos.folder", "method.augment", "runs.run_folder"])
def test_without_the_libraries_of_a_screen_one_sentence_says_what_to_do(module, tmp_path):
    broken = 'raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")'
    (tmp_path / "cv2.py").write_text(broken, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import swsss.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: OpenCV cannot be imported (libGL.so.1: cannot open shared object file")
    assert "apt-get install libgl1 libglib2.0-0" in last and "opencv-python-headless" in last
