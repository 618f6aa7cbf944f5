"What goes wrong around a run: one clear error, the last good checkpoint kept, and the same command goes on."

import multiprocessing
import os
import shutil
import subprocess
from functools import partial

import pytest
import torch
from run_folder import QUICK, at_step, checkpoints, go_on, results, train

from swsss.method.batches import PairedBatches
from swsss.method.pct import Losses
from swsss.photos.folder import VOCFolder

KEPT = "is kept up to iteration {}; run the same command again to go on from there"


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no mount here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    "A run folder that is a disk of its own: 64 MB, in memory."
    path = tmp_path / "run"
    path.mkdir()
    if not shutil.which("mount") or os.geteuid():
        pytest.skip("a small disk takes root and mount")
    mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", path)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def interrupted(demo, run, prepare, *words, kept, **changes):
    "Train until the fault; the error must say `words`, and the checkpoints be sound and one of the lists in `kept`."
    code, text = train(demo, run, prepare, **changes)
    assert code == 1, text
    found = checkpoints(run)
    for word in (*words, KEPT.format(found[-1])):
        assert word in text, text
    assert found in kept


def fill(path, leave):
    "Fill a disk but for `leave` bytes."
    free = shutil.disk_usage(path).free - leave
    with open(path / "ballast", "wb") as file:
        file.write(bytes(free))


@pytest.mark.parametrize("leave", [0, 4 * 2**20], ids=["nothing left", "too little for a checkpoint"])
def test_full_disk(demo, whole, disk, leave):
    interrupted(
        demo, disk, partial(at_step, 4, partial(fill, disk, leave)), "No space left on device", kept=[[3]], workers=0
    )
    assert not list(disk.rglob(".tmp*"))
    (disk / "ballast").unlink()
    go_on(demo, disk, workers=0)
    assert results(disk) == whole(0)[0]


def test_read_only_folder(demo, whole, disk):
    interrupted(demo, disk, partial(at_step, 5, _raise), "on purpose", kept=[[3]], workers=0)
    mount("-o", "remount,ro", disk)
    code, text = train(demo, disk, workers=0)
    mount("-o", "remount,rw", disk)
    assert code == 1 and "Read-only file system" in text and str(disk) in text
    assert checkpoints(disk) == [3]
    go_on(demo, disk, workers=0)
    assert results(disk) == whole(0)[0]


def _raise():
    raise RuntimeError("on purpose")


def kill_worker():
    multiprocessing.active_children()[0].kill()


def test_loader_worker_killed(demo, whole, run):
    "Noticed at the next batch that is not loaded yet."
    interrupted(
        demo,
        run,
        partial(at_step, 5, kill_worker),
        "A data-loading worker died: killed, or out of memory.",
        kept=[[3], [3, 6]],
        workers=2,
    )
    go_on(demo, run, workers=2)
    assert results(run) == whole(2)[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_image_that_vanishes(demo, whole, run, tmp_path, workers):
    root = shutil.copytree(demo, tmp_path / demo.name)
    folder = VOCFolder(root)
    lists = folder.listed("train"), folder.listed("trainaug")
    batches = PairedBatches(folder, *lists, 2, 2, 32, [0.5] * 3, [0.2] * 3, QUICK.seed, 12)
    late = {name for k in range(9, 12) for name in batches.names(k)} - {lists[1][k] for k in range(13)}
    image = folder.image_path(min(late))  # of a step after the ninth, and of no snapshot
    away = partial(os.rename, image, tmp_path / "away")
    interrupted(root, run, partial(at_step, 4, away), image.name, "FileNotFoundError", kept=[[6, 9]], workers=workers)
    code, text = train(root, run, workers=workers)
    assert code == 1 and image.stem in text  # still away
    (tmp_path / "away").rename(image)
    go_on(root, run, workers=workers)
    assert results(run) == whole(workers)[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_that_is_not_finite(demo, whole, run, value):
    losses = Losses(*torch.tensor([1.0, 2.0, value, 3.0]))
    words = (
        "iteration 8: a loss is not finite",
        "seg 1, pseudo 2",
        f"tag {value}",
        "Images: strong_",
        "weak_",
        "Lower lr",
    )
    interrupted(demo, run, partial(at_step, 8, partial(_give, losses)), *words, kept=[[3, 6]], workers=0)
    go_on(demo, run, workers=0)
    assert results(run) == whole(0)[0]


def _give(losses):
    return losses


def test_weights_that_are_not_finite_are_not_saved(demo, run):
    changes = {"optimizer": "sgd", "lr": 1e30, "save_every": 1, "workers": 0}
    code, text = train(demo, run, **changes)
    assert code == 1 and "not finite" in text and "Lower lr" in text
    checkpoints(run)  # looks that all values are finite


def _no_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_gpu_memory_advice(demo, whole, run):
    "Raised by hand: no GPU is needed, and none was used."
    words = "The GPU's memory is full", "crop=32, num_strong=2, num_weak=2, channels=16", "output_stride=8", "Tried to"
    interrupted(demo, run, partial(at_step, 8, _no_memory), *words, kept=[[3, 6]], workers=0)
    go_on(demo, run, workers=0)
    assert results(run) == whole(0)[0]
