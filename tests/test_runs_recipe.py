"""Recipes: any parameters give a recipe or a ValueError, before data or weights are touched.

FUZZ_CASES=5000 pytest tests/test_runs_recipe.py      more cases a test than the 100 of an ordinary run
"""

import json
import os
import re
import resource
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swsss.method.recipe import GROUPS, Recipe, crop_size
from swsss.photos.files import project_path

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "100")),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,  # the same cases in every ordinary run
)
NAMES = list(GROUPS)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
near = (
    st.integers(-2, 600)
    | st.floats(-2, 2)
    | st.sampled_from(
        [
            "pct",
            "cce",
            "adamw",
            "sgd",
            "all",
            "none",
            "imagenet",
            "resnet18",
            "64",
            "64x96",
            "0x9",
            "64X96",
            "٣٢",
            "",
            "x",
        ]
    )
)
anything = st.recursive(
    near | scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def attempt(make):
    "A recipe, or None where it is refused in words."
    try:
        return make()
    except ValueError as error:
        assert str(error)


@fuzz
@given(st.sampled_from(NAMES), anything)
@example("lr", 10**400)
@example("seed", 2**70)
@example("crop", "9" * 5000)
@example("crop", "64\n")
@example("backbone", "resnet18.no_such_weights")
@example("backbone", "hf-hub:a/b")
def test_any_value_of_a_field(name, value):
    recipe = attempt(lambda: Recipe.demo(**{name: value}))
    if recipe is not None:
        assert recipe.flat()[name] == value
        assert min(crop_size(recipe.batches.crop)) >= 8


@fuzz
@given(st.dictionaries(st.sampled_from(NAMES), near, max_size=8))
def test_recipes_come_back_from_json(changes):
    recipe = attempt(lambda: Recipe.demo(**changes))
    if recipe is not None:
        assert Recipe.paper(**json.loads(json.dumps(recipe.flat()))) == recipe


@fuzz
@given(st.text(max_size=12) | st.sampled_from([name[:-1] for name in NAMES]), anything)
def test_any_name(name, value):
    if name not in NAMES:
        with pytest.raises(ValueError, match=r"unknown parameter .* did you mean"):
            Recipe.demo(**{name: value})


@fuzz
@given(anything)
def test_any_recipe_name(name):
    if name not in ("paper", "small", "modern", "demo"):
        with pytest.raises(ValueError, match="paper, small, modern, demo"):
            Recipe.named(name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"iteration": 5}, "iterations"),
        ({"num_weaks": 5}, "num_weak"),
        ({"optimiser": "sgd"}, "optimizer"),
        ({"crop": 0}, "crop=0"),
        ({"crop": "64x"}, "HEIGHTxWIDTH"),
        ({"iterations": 2.5}, "expected int"),
        ({"iterations": "100"}, "expected int"),
        ({"seed": -1}, "0 or more"),
        ({"weak_flip": "yes"}, "expected bool"),
        ({"lr": float("nan")}, "0 or more"),
        ({"momentum": 1.0}, "below 1"),
        ({"method": "pcs"}, "cce\\+tags, pct"),
        ({"optimizer": "adam"}, "sgd, adamw"),
        ({"backbone": "resnet100s"}, "resnet101s"),
        ({"split": 0}, "split=0"),
        ({"num_strong": 0}, "1 or more"),
        ({"save_every": 0}, "1 or more"),
        ({"workers": 1.5}, "expected int"),
        ({"seed": 2**70}, "seed"),
        ({"output_stride": 7}, "8, 16, 32"),
    ],
)
def test_refused_with_words_that_help(changes, words):
    with pytest.raises(ValueError, match=words):
        Recipe.demo(**changes)


def papermill(tmp_path, *parameters):
    "The last line of train_pct's output by papermill, and its processor time in seconds."
    notebook = project_path("nbs/train_pct.ipynb")
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--start-timeout", "600", notebook]
    command += [tmp_path / "out.ipynb", "-p", "runs", tmp_path / "runs", *parameters]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=project_path("."), timeout=1200)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 1
    lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).splitlines() if line.strip()]
    return lines[-1], after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (("iteration", 5), "unknown parameter 'iteration'; did you mean iterations"),
        (("backbone", "resnet100s"), "unknown backbone 'resnet100s'; near it: "),
    ],
)
def test_notebook_refuses_before_data_are_touched(tmp_path, parameters, words):
    missing = tmp_path / "no such data"  # would be the error if it were opened
    error, seconds = papermill(tmp_path, "-p", "data", missing, "-p", *map(str, parameters))
    assert error.startswith("ValueError") and words in error
    assert seconds < 40
    assert not (tmp_path / "runs").exists()


def test_notebook_refuses_a_split_larger_than_the_list(tmp_path, demo):
    error, seconds = papermill(tmp_path, "-p", "data", demo, "-p", "split", "13")
    assert error.strip() == "split 13: train.txt lists 12 images; choose 1 to 12, or 'all'"
    assert seconds < 40
    assert not (tmp_path / "runs").exists()
