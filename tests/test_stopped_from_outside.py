"""A run that is stopped from outside loses at most a minute, however it ends.

papermill and its kernel are real processes here, and get real signals; what goes on afterwards ends with the bytes of a
run never interrupted.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from run_folder import PATIENCE, QUICK, at_step, checkpoints, die, go_on, results, rows, train, wait_for

from swsss.runs import run_folder as run_room
from swsss.runs import training as train_room

HERE = Path(__file__).parent
KEPT = "is kept up to iteration {}; run the same command again to go on from there"
EVERY = 100_000  # iterations between checkpoints: none is written for their number
ROUNDS = {
    "method": "self_training",
    "iterations": 12,
    "classifier_part": 0.25,
    "rounds": 2,
    "round_part": 0.25,
    "round_weak": 2,
}
ROUNDS |= {"passes_before_rounds": 0, "snapshots": 0, "save_every": EVERY, "num_strong": 2}

CELL = """
import sys
sys.path.insert(0, {here!r})
import torch
from run_folder import QUICK, slow_steps
from swsss.photos.folder import VOCFolder
from swsss.runs.training import train
torch.set_num_threads(1)
slow_steps({seconds})
folder = VOCFolder({root!r})
train(QUICK.change(**{changes!r}), folder, folder.listed("train"), {run!r}, "cpu")
"""


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def clock(seconds, then=None):
    "A clock by which each step takes so many seconds, and nothing else any; then other things may be prepared."
    steps, plain = itertools.count(1), train_room.step_losses
    now = {"monotonic": 0}

    def step_losses(*arguments):
        now["monotonic"] = seconds * next(steps)
        return plain(*arguments)

    train_room.step_losses = step_losses
    run_room.time = SimpleNamespace(**{**vars(time), "monotonic": lambda: now["monotonic"]})
    if then:
        then()


def begin_papermill(demo, run, seconds, **changes):
    "papermill as a shell starts it, training in a kernel whose steps take `seconds`; and that kernel."
    notebook = run.with_suffix(".ipynb")
    code = CELL.format(here=str(HERE), seconds=seconds, root=str(demo), run=str(run), changes=changes)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), notebook)
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--start-timeout", str(PATIENCE), notebook, notebook]
    with open(run.with_suffix(".log"), "a", encoding="utf-8") as log:
        papermill = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    wait_for(lambda: rows(run) > 2, lambda: papermill.poll() is None)
    [kernel] = [child for child in psutil.Process(papermill.pid).children() if "ipykernel" in " ".join(child.cmdline())]
    return papermill, kernel


def ends(process):
    "Wait for the end of a process that is not our child, or of a zombie."
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, lambda: True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_papermill_goes_and_its_kernel_keeps_the_step_it_was_in(demo, whole, run, number):
    "A step here is longer than the second after which a kernel looks for its parent, as a step of `paper` is."
    papermill, kernel = begin_papermill(demo, run, seconds=3, save_every=EVERY, log_every=1, workers=2)
    papermill.send_signal(number)
    assert papermill.wait(PATIENCE) == -number
    ends(kernel)
    assert checkpoints(run) == [rows(run) - 1] and not list(run.rglob(".tmp*"))
    go_on(demo, run, workers=2)
    assert results(run) == whole(2)[0]


def test_a_kernel_that_gets_the_signal_itself_keeps_the_step_it_was_in(demo, run):
    "As under systemd, which sends it to every process of a service; papermill's end does not cut the step short."
    papermill, kernel = begin_papermill(demo, run, seconds=3, save_every=EVERY, log_every=1, workers=0)
    kernel.send_signal(signal.SIGTERM)
    papermill.send_signal(signal.SIGTERM)
    papermill.wait(PATIENCE)
    ends(kernel)
    assert checkpoints(run) == [rows(run) - 1]


@pytest.mark.parametrize("changes", [{}, ROUNDS], ids=["pct", "rounds"])
def test_checkpoints_by_time_change_nothing_that_is_learned(demo, tmp_path, changes):
    ended = {}
    for name, prepare in {"seldom": None, "often": partial(clock, 100)}.items():
        run = tmp_path / name
        code, text = train(demo, run, prepare, **{**changes, "save_every": EVERY, "workers": 0})
        assert code == 0, text
        ended[name] = results(run)
    assert ended["often"] == ended["seldom"]


@pytest.mark.parametrize("step", [2, 5, 8, 11])
def test_killed_in_any_phase_no_more_than_a_step_is_lost(demo, tmp_path, step):
    "Where a step takes longer than the time between checkpoints; phases change after 3, 6 and 9."
    phases = QUICK.change(**ROUNDS).phases(12)
    assert [(phase.kind, phase.stop) for phase in phases] == [
        ("classifier", 3),
        ("supervised", 6),
        ("self-training", 9),
        ("self-training", 12),
    ]
    whole, run = tmp_path / "whole", tmp_path / "run"
    go_on(demo, whole, **ROUNDS, workers=0)
    code, text = train(demo, run, partial(clock, 100, partial(at_step, step, die)), **ROUNDS, workers=0)
    assert code == -signal.SIGKILL, text
    assert checkpoints(run)[-1] == step - 1
    go_on(demo, run, **ROUNDS, workers=0)
    assert results(run) == results(whole)


def test_a_minute_at_most_is_lost(demo, run):
    "Steps of ten seconds, of which a short run has fewer than lie between two checkpoints by number."
    code, text = train(demo, run, partial(clock, 10, partial(at_step, 12, die)), save_every=EVERY, workers=0)
    assert code == -signal.SIGKILL, text
    assert checkpoints(run) == [5, 10]


# one notebook that runs another

OUTER = """
from pathlib import Path
from swsss.runs import notebook
notebook.notebook_command = lambda *_: {command!r}
notebook.run_step("train_pct", Path({notebook!r}), {{}})
"""


def test_a_notebook_that_runs_others_takes_them_with_it(tmp_path):
    "run_all and study: the notebook that they are at does not go on for hours after them, holding its run folder."
    mark, notebook = tmp_path / "pid", tmp_path / "outer.ipynb"
    inner = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep({PATIENCE})"
    code = OUTER.format(command=[sys.executable, "-c", inner], notebook=str(tmp_path / "inner.ipynb"))
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), notebook)
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--start-timeout", str(PATIENCE), notebook, notebook]
    papermill = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: mark.is_file() and mark.read_text(), lambda: papermill.poll() is None)
    step = psutil.Process(int(mark.read_text()))
    try:
        os.kill(papermill.pid, signal.SIGTERM)
        papermill.wait(PATIENCE)
        _, alive = psutil.wait_procs([step], timeout=60)
        assert not alive
    finally:
        if step.is_running():
            step.kill()
