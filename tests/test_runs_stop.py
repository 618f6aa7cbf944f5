"Interrupts and a scheduler's SIGTERM: a checkpoint at the next step, a word on how to go on, and nothing lost."

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from run_folder import (
    PATIENCE,
    at_step,
    checkpoints,
    go_on,
    results,
    rows,
    signal_group,
    train,
    wait_for,
)

STOPPED = "stopped as asked after iteration {}; the same command goes on"
KEPT = "is kept up to iteration {}; run the same command again to go on from there"


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def stop_in_step_5(numbers, to_group):
    "In a process group of its own, as a shell would start it."
    os.setsid()
    at_step(5, lambda: [signal_group(n) if to_group else os.kill(os.getpid(), n) for n in numbers] and None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("workers", "to_group"), [(0, False), (2, False), (2, True)])
def test_signal(demo, whole, run, number, workers, to_group):
    code, text = train(demo, run, partial(stop_in_step_5, [number], to_group), workers=workers)
    assert code == 1
    assert STOPPED.format(5) in text and KEPT.format(5) in text
    assert checkpoints(run) == [3, 5]
    go_on(demo, run, workers=workers)
    assert results(run) == whole(workers)[0]


def test_a_second_interrupt_stops_at_once(demo, whole, run):
    code, text = train(demo, run, partial(stop_in_step_5, [signal.SIGINT] * 2, False), workers=0)
    assert code == 1
    assert "KeyboardInterrupt" in text and "stopped as asked" not in text and KEPT.format(3) in text
    assert checkpoints(run) == [3]
    go_on(demo, run, workers=0)
    assert results(run) == whole(0)[0]


# notebooks

CELL = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from run_folder import QUICK, slow_steps
from swsss.photos.folder import VOCFolder
from swsss.runs.training import train
torch.set_num_threads(1)
slow_steps({{seconds}})
folder = VOCFolder({{root!r}})
train(QUICK.change(workers=2), folder, folder.listed("train"), {{run!r}}, "cpu")
"""


def cell(demo, run, seconds):
    return CELL.format(root=str(demo), run=str(run), seconds=seconds)


def test_kernel_interrupt(demo, whole, run):
    manager, client = start_new_kernel(startup_timeout=PATIENCE)
    try:
        request = client.execute(cell(demo, run, seconds=0.2))
        wait_for(lambda: rows(run) > 2, manager.is_alive)
        manager.interrupt_kernel()
        while (reply := client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != request:
            pass
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    [done] = checkpoints(run)[-1:]
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert reply["content"]["evalue"] == STOPPED.format(done)
    go_on(demo, run, workers=2)
    assert results(run) == whole(2)[0]


def hear_ctrl_c():
    "Tests that a shell began in its background (`pytest &`) ignore SIGINT, and so would all that they begin."
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_papermill(demo, whole, run, number):
    "Ctrl-C reaches its kernel, which saves the step it was in; SIGTERM ends papermill, and its kernel after its step."
    notebook = run.with_suffix(".ipynb")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell(demo, run, seconds=1.5))]), notebook)
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--start-timeout", str(PATIENCE), "--log-output"]
    command += [notebook, notebook]
    with open(run.with_suffix(".log"), "w", encoding="utf-8") as log:
        how = {"stdout": log, "stderr": log, "start_new_session": True, "preexec_fn": hear_ctrl_c}
        process = subprocess.Popen(command, **how)
    wait_for(lambda: rows(run) > 2, lambda: process.poll() is None)
    process.send_signal(number)
    assert process.wait(PATIENCE) != 0
    if number == signal.SIGINT:
        assert checkpoints(run)[-1] == rows(run) - 1  # the header is a row
        terminal = run.with_suffix(".log").read_text()
        assert KEPT.format(checkpoints(run)[-1]) in terminal and "loss " in terminal and "it/s" in terminal
    go_on(demo, run, workers=2)
    assert results(run) == whole(2)[0]
