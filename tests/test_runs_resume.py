"""A run killed at any moment and started again ends with the bytes of the run never interrupted.

SWSSS_KILLS=20 pytest tests/test_runs_resume.py      more kill points a test than in an ordinary run
"""

import os
import random
import shutil
import signal
from functools import partial

import pytest
from run_folder import (
    QUICK,
    at_step,
    checkpoints,
    die,
    die_before_event,
    die_inside_write,
    go_on,
    printed,
    results,
    rows,
    slow_steps,
    start,
    train,
    wait_for,
)
from safetensors.torch import load

from swsss.photos.folder import VOCFolder
from swsss.runs.run_folder import Run

KILLS = int(os.environ.get("SWSSS_KILLS", "3"))
KILLED = -signal.SIGKILL


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def test_workers_change_nothing(whole):
    alone, helped = dict(whole(0)[0]), dict(whole(2)[0])
    for name in ("hybrid.safetensors", "pseudo.safetensors"):  # the recipe in them differs
        tensors, others = load(alone.pop(name)), load(helped.pop(name))
        assert tensors.keys() == others.keys() and all(tensors[key].equal(others[key]) for key in tensors)
    assert alone == helped


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("part", [(i + 0.5) / KILLS for i in range(KILLS)])
def test_killed_between_two_file_operations(demo, whole, run, workers, part):
    expected, events = whole(workers)
    number = 1 + int(part * len(events))
    code, text = train(demo, run, partial(die_before_event, run, number), workers=workers)
    assert code == KILLED, text
    go_on(demo, run, workers=workers)
    assert results(run) == expected, events[number - 1]


@pytest.mark.parametrize("number", [1, 2, 5, 6, 3, 4][:KILLS])  # four checkpoints, then the two networks
def test_killed_inside_a_write(demo, whole, run, number):
    code, text = train(demo, run, partial(die_inside_write, number), workers=0)
    assert code == KILLED, text
    assert len(list(run.rglob(".tmp*"))) == 1  # half a file
    text = go_on(demo, run, workers=0)
    assert "damaged" not in text
    assert results(run) == whole(0)[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_again_and_again_at_random_moments(demo, whole, run, workers):
    rng, kills = random.Random(workers), 0
    for _ in range(KILLS):
        process, before = start(demo, run, partial(slow_steps, 0.1), workers=workers), rows(run)
        while process.exitcode is None and rows(run) == before:
            process.join(0.005)
        process.join(rng.uniform(0, 0.3))
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        kills += process.exitcode == KILLED
    assert kills, "it was never killed: nothing was tested"
    go_on(demo, run, workers=workers)
    assert results(run) == whole(workers)[0]


# damaged checkpoints


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def zeroes(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("damages", "start_at"), [([cut], 3), ([flip], 3), ([empty], 3), ([zeroes, flip], 0)])
def test_damaged_checkpoint_is_passed_over(demo, whole, run, damages, start_at):
    assert train(demo, run, partial(at_step, 8, die), workers=0)[0] == KILLED
    assert checkpoints(run) == [3, 6]
    newest_first = sorted((run / "resume").glob("*.pt"), reverse=True)
    for damage, path in zip(damages, newest_first, strict=False):
        damage(path)
    text = go_on(demo, run, workers=0)
    assert text.count("is damaged; trying the checkpoint before it") == len(damages)
    assert str(newest_first[0]) in text
    assert f"{start_at}/12" in text
    assert results(run) == whole(0)[0]


# two runs in one folder


def test_another_recipe_is_refused(demo, run):
    folder = VOCFolder(demo)
    with Run(run, QUICK, folder):
        pass
    changes = {"crop": 48, "lr": 0.5, "method": "cce", "heavy": True}
    with (
        pytest.raises(ValueError, match="holds another run") as refused,
        Run(run, QUICK.change(**changes), folder),
    ):
        pass
    for name, value in changes.items():
        assert f"{name} ({QUICK.flat()[name]} there, {value} here)" in str(refused.value)
    assert "seed" not in str(refused.value)


def test_other_data_are_refused(demo, run, tmp_path):
    with Run(run, QUICK, VOCFolder(demo)):
        pass
    other = shutil.copytree(demo, tmp_path / "other")
    (other / "ImageSets/Segmentation/val.txt").write_text("val_0000\n")
    with pytest.raises(ValueError, match="the data differ"), Run(run, QUICK, VOCFolder(other)):
        pass


def test_two_processes_in_one_folder(demo, whole, run):
    first = start(demo, run, workers=0)
    wait_for(lambda: rows(run), lambda: first.exitcode is None)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        code, text = train(demo, run, workers=0)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert code == 1 and "another process is training in this run folder" in text
    first.join()
    assert first.exitcode == 0, printed(run)
    assert results(run) == whole(0)[0]
