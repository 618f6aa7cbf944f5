"Runs that wait for nothing are listed as lines of a shell, which anything may start, and collected."

import os
import subprocess

import pandas as pd
import pytest
from run_notebook_command import run_notebook_command

from swsss.photos.demo import draw_demo

pytestmark = pytest.mark.skipif(os.name == "nt", reason="lines of a shell")


def run(notebook, out, **parameters):
    done, printed = run_notebook_command(notebook, out, **parameters)
    assert done, printed
    return printed


def test_a_study_listed_run_and_collected(tmp_path):
    demo, runs = draw_demo(tmp_path / "it's $HOME" / "demo", strong=4, weak=4, val=1), tmp_path / "runs"
    how = {"data": str(demo), "runs": str(runs), "recipe": "demo", "methods": "ce", "baseline": "ce"}
    how |= {"splits": 4, "seeds": 0, "equal_time": "no", "more": {"iterations": 2, "workers": 0, "channels": 16}}
    printed = run("study", tmp_path / "1.ipynb", **how, list_runs=True)
    (line,) = [line for line in printed.splitlines() if line.startswith("mkdir -p ")]
    assert not runs.exists() and "mIoU" not in printed
    pipe = "tr '\\n' '\\0' | xargs -0 -r -n 1 -P 2 sh -c"
    subprocess.run(["sh", "-c", pipe], input=f"{line}\n", text=True, check=True, cwd=tmp_path, capture_output=True)
    run("study", tmp_path / "3.ipynb", **how, only_collect=True)
    results = (runs / "study-demo/results.csv").read_bytes()
    assert pd.read_csv(runs / "study-demo/results.csv").notna().all(axis=None)
    printed = run("study", tmp_path / "4.ipynb", **how)
    assert "done before" in printed and (runs / "study-demo/results.csv").read_bytes() == results


def test_fields_go_on_top_of_the_recipe_that_was_named(tmp_path):
    "4 rounds of `paper`'s length leave no iterations for the masks, 4 of `small`'s do."
    missing = str(tmp_path / "no such data")
    done, said = run_notebook_command("train_pct", tmp_path / "out.ipynb", data=missing, recipe="small", rounds=4)
    assert not done and "no such data" in said and "rounds" not in said, said
