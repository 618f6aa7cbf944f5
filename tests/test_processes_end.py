"""Processes that train together end together: a stop, an error or a kill in one leaves none waiting and loses nothing.

A fault lies in the data folder that each process gets: at the fifth photo that process 1 reads, in its third step.
"""

import multiprocessing
import os
import re
import shutil
import signal
import time

import pytest
from run_folder import PATIENCE, QUICK, all_finite, checkpoints, launched_quickly
from safetensors.torch import load_file
from torch import nn

from swsss.method import processes as together
from swsss.method.processes import LostProcess, rank
from swsss.photos.folder import VOCFolder
from swsss.runs import launch
from swsss.runs.training import train_in_processes

SHORT = QUICK.change(method="cce+tags", num_strong=3, num_weak=3, save_every=100, workers=0)


class Faulty(VOCFolder):
    "A folder in which something happens while process 1 reads."

    happens, calls = None, 0

    def image(self, name):
        if rank() == 1:
            self.calls += 1
            if self.calls == 5 and self.happens:
                self.happens(name)
        return super().image(name)


def stop_one(name):
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt_the_launching_process(name):
    os.kill(multiprocessing.parent_process().pid, signal.SIGINT)


def die(name):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(name):
    raise ArithmeticError(f"on purpose, at {name}")


@pytest.fixture
def quickly():
    with launched_quickly():
        yield


def by(count, run, demo, happens=None, **changes):
    "Train by so many processes."
    folder = Faulty(demo)
    folder.happens = happens
    begun = time.monotonic()
    try:
        train_in_processes(count, SHORT.change(**changes), folder, folder.listed("train"), run, "cpu")
    finally:
        assert time.monotonic() - begun < PATIENCE, "it hung"
        assert not multiprocessing.active_children()


def goes_on(count, run, demo):
    "The run ends, by another number of processes, with sound networks and all rows."
    by(count, run, demo)
    assert all_finite(load_file(run / "hybrid.safetensors"))
    assert (run / "metrics.csv").read_text().count("\n") == SHORT.optimizer.iterations + 1
    assert not list(run.rglob(".tmp*")) and not checkpoints(run)


@pytest.mark.parametrize("asks", [stop_one, interrupt_the_launching_process])
def test_all_stop_after_the_same_step(demo, tmp_path, capfd, quickly, asks):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="stopped as asked after iteration") as stopped:
        by(2, run, demo, asks, save_every=1)
    [*_, done] = checkpoints(run)
    assert f"iteration {done};" in str(stopped.value) and 1 <= done < SHORT.optimizer.iterations
    assert f"is kept up to iteration {done}" in capfd.readouterr().out
    goes_on(3, run, demo)


def test_a_process_that_is_killed_ends_the_others(demo, tmp_path, quickly):
    run = tmp_path / "run"
    with pytest.raises(RuntimeError, match=r"process 1 of 3 was ended by SIGKILL \(out of memory\?\)"):
        by(3, run, demo, die, save_every=1)
    assert checkpoints(run)[-1] == 2
    goes_on(1, run, demo)


def test_an_error_in_one_is_the_error_of_all(demo, tmp_path, quickly):
    run = tmp_path / "run"
    with pytest.raises(ArithmeticError) as raised:
        by(3, run, demo, fail, save_every=1)
    assert re.fullmatch(r"on purpose, at \w+", str(raised.value))
    assert "in fail" in raised.value.__notes__[-1]  # where it happened, for whoever wants to know
    assert checkpoints(run)[-1] == 2
    goes_on(2, run, demo)


def test_an_unreadable_photo_is_one_sentence(demo, tmp_path):
    "Read by a loader's worker of a process that was spawned, as from a notebook."
    scenes, run = shutil.copytree(demo, tmp_path / "scenes"), tmp_path / "run"
    photo = VOCFolder(scenes).image_path("weak_0003")
    photo.write_bytes(photo.read_bytes()[:500])
    with pytest.raises(ValueError) as raised:
        by(2, run, scenes, workers=2)
    assert str(photo) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("count", "changes", "sentence"),
    [
        (4, {}, "processes=4 share the images of a step, and num_strong=3 is too few for that: pass processes=3"),
        (2.5, {}, "processes=2.5: expected a whole number"),
        (-1, {}, "processes=-1: expected a whole number"),
    ],
)
def test_too_many_processes_are_refused_before_anything_is_made(demo, tmp_path, count, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        by(count, tmp_path / "run", demo, **changes)
    assert not (tmp_path / "run").exists()


def test_a_layer_that_is_not_known_to_mix_images_rightly_is_refused(monkeypatch):
    monkeypatch.setattr(together, "count", lambda: 2)
    with pytest.raises(ValueError, match=r"a BatchNorm1d of this backbone is not known .*: pass processes=1"):
        together.over_whole_batch(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)))
    kept = nn.Sequential(nn.Dropout2d(0.0), nn.BatchNorm2d(3))
    assert list(together.over_whole_batch(kept).state_dict()) == list(nn.Sequential(*kept).state_dict())
    assert together.over_whole_batch(kept) is kept  # twice is once


def test_what_only_followed_is_not_given_as_the_reason():
    lost, real, stop = LostProcess("gone"), ValueError("a reason"), KeyboardInterrupt("stopped")
    assert launch._fault({0: lost, 1: real}, [1, 1], False) is real
    assert launch._fault({0: stop, 1: lost}, [0, 1], True) is stop
    assert launch._fault({0: lost}, [1, 0], False) is lost
    assert launch._fault({}, [0, 0], False) is None
    assert "exit code 3" in str(launch._fault({}, [0, 3], False))
