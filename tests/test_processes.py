"""Several processes learn what one learns: the same losses, batch statistics, dropout, labels, and random state.

In float64, so that what is left between N processes and one is the order of sums. The processes are begun as the tests
of `run_folder.py` begin theirs; those of a notebook, by `spawn`, are in `test_processes_end.py`.
"""

import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest
import torch
from run_folder import PATIENCE, QUICK, at_step, checkpoints, launched_quickly, processes, results
from safetensors.torch import load_file

from swsss.method import batches, predict
from swsss.method.processes import joined, rank
from swsss.photos.folder import VOCFolder
from swsss.photos.images import write_labels
from swsss.runs import run_folder as run_room
from swsss.runs import training as train_room

NEAR = 1e-10
STEPS = QUICK.change(num_strong=3, num_weak=4, iterations=20, log_every=1, save_every=100, workers=0, snapshots=0)
ROUNDS = {"classifier_part": 0.3, "rounds": 2, "round_part": 0.25, "passes_before_rounds": 0}
ROUNDS |= {"round_strong": 3, "round_weak": 4, "classifier_weight": 1.0, "repeat_threshold": 0.5}
# random weights on small crops amplify the last bit tenfold a step, in one process too: small steps
LITE = {"backbone": "tf_efficientnet_lite0", "output_stride": 16, "optimizer": "sgd", "lr": 1e-5, "crop": 64}
LITE |= {"iterations": 4}
METHODS = {
    "cce": {"method": "cce", "dice_weight": 1.0},
    "cce on EfficientNet-Lite0": {"method": "cce", **LITE},
    "cce+tags": {"method": "cce+tags", "tag_weight": 0.5, "tag_on_strong": True, "repeat_threshold": 0.5},
    "pct": {"method": "pct"},
    "pct, as published": {"method": "pct", "joint_batch_norm": True, "as_published": True, "optimizer": "sgd"},
    "self_training": {"method": "self_training", "dice_weight": 1.0, "augmentation": "affine", **ROUNDS},
    "retrained": {"method": "ce", "num_strong": 6, "num_weak": 1},
}


def in_float64():
    "Before training: all that is learned and all that is summed has 53 bits."
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    normalise, item = predict.normalise, batches.PairedBatches.__getitem__
    predict.normalise = lambda *args: normalise(*args).double()

    def wide(pairs, iteration):
        batch = item(pairs, iteration)
        weights = None if batch.weights is None else batch.weights.double()
        return batch._replace(images=batch.images.double(), weights=weights)

    batches.PairedBatches.__getitem__ = wide
    finish = run_room.Run.finish

    def keep_random_state(run, networks, evaluation):
        torch.save(torch.get_rng_state(), run.path.with_suffix(f".random{rank()}"))
        finish(run, networks, evaluation)

    run_room.Run.finish = keep_random_state


def work(number, count, place, run, root, recipe, prepare, names):
    "What each process does; its number is its place among them."
    with open(f"{place}/{number}.txt", "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    for change in prepare:
        change()
    folder = VOCFolder(root)
    with joined(number, count, torch.distributed.FileStore(f"{place}/store", count), minutes=PATIENCE / 60):
        train_room.train(recipe, folder, folder.listed(names), run, "cpu")


def together(count, run, root, prepare=(in_float64,), names="train", **changes):
    "Exit codes of so many processes that train together, and what they printed."
    place = run.with_name(f"{run.name}, by {count}")
    place.mkdir(exist_ok=True)
    (place / "store").unlink(missing_ok=True)
    arguments = str(place), run, root, STEPS.change(**changes), prepare, names
    begun = [processes.Process(target=work, args=(number, count, *arguments)) for number in range(count)]
    for process in begun:
        process.start()
    for process in begun:
        process.join(PATIENCE)
    return [process.exitcode for process in begun], "\n".join(p.read_text() for p in sorted(place.glob("*.txt")))


def whole(count, run, root, **options):
    "What such a run has logged and learned, and the random states that it ended with."
    codes, text = together(count, run, root, **options)
    assert codes == [0] * count, text
    weights = {path.name: load_file(path) for path in run.glob("*.safetensors")}
    states = [torch.load(run.with_suffix(f".random{number}")) for number in range(count)]
    return pd.read_csv(run / "metrics.csv"), weights, states


def apart(one, other):
    "The largest difference of two runs' losses and running IoUs; and of their tensors."
    (rows, weights, _), (others, other_weights, _) = one, other
    assert list(rows.columns) == list(others.columns) and len(rows) == len(others) > 3
    assert weights.keys() == other_weights.keys()
    pairs = [(part, other_weights[name][key]) for name, parts in weights.items() for key, part in parts.items()]
    return (rows - others).abs().max().max(), max((part - other).abs().max().item() for part, other in pairs)


@pytest.fixture(scope="module")
def alone(demo, tmp_path_factory):
    "By method: what one process learns."
    runs = {}

    def get(method):
        if method not in runs:
            names = "trainaug" if method == "retrained" else "train"
            run = tmp_path_factory.mktemp("alone") / "run"
            runs[method] = whole(1, run, demo, names=names, **METHODS[method])
        return runs[method]

    return get


BY_THREE = [method for method in METHODS if method not in ("cce+tags", "pct, as published")]
CASES = [(method, 2) for method in METHODS] + [(method, 3) for method in BY_THREE]


@pytest.mark.parametrize(("method", "count"), CASES)
def test_each_method_learns_what_one_process_learns(demo, alone, tmp_path, method, count):
    names = "trainaug" if method == "retrained" else "train"
    ours = whole(count, tmp_path / "run", demo, names=names, **METHODS[method])
    losses, tensors = apart(ours, alone(method))
    # where a gradient is 0 but for rounding (of `where.bias`, before a softmax) AdamW steps by rounding / 1e-8
    assert losses < NEAR and tensors < 100 * NEAR
    assert all(torch.equal(state, alone(method)[2][0]) for state in ours[2])


def stop_in_step_7():
    "Process 1 alone is told to stop."
    at_step(7, lambda: os.kill(os.getpid(), signal.SIGTERM) if rank() == 1 else None)


def test_a_run_stopped_in_one_of_two_goes_on_with_one(demo, alone, tmp_path):
    run = tmp_path / "run"
    codes, text = together(2, run, demo, prepare=(in_float64, stop_in_step_7), **METHODS["pct"])
    assert codes == [1, 1] and text.count("stopped as asked after iteration 7") == 2
    assert checkpoints(run) == [7]
    assert max(apart(whole(1, run, demo, **METHODS["pct"]), alone("pct"))) < NEAR


def test_the_same_number_of_processes_learns_the_same_bits(demo, tmp_path):
    "In float32, whichever way they begin; `torchrun` is told the run folder alone, which has the labels of stage 2."
    folder = VOCFolder(demo)
    labels = tmp_path / "labels"
    for name in folder.listed("trainaug"):
        write_labels(labels / f"{name}.png", folder.labels(name))
    view = folder.with_labels(labels, keep=folder.listed("train")[:5])
    what = STEPS.change(method="ce", num_strong=4, iterations=3), view, folder.listed("trainaug")
    with pytest.raises(KeyboardInterrupt, match=r"nothing is trained, as asked; .*/torchrun is ready: torchrun "):
        train_room.train_in_processes(0, *what, tmp_path / "torchrun", "cpu", {"labels": str(labels)})
    shutil.rmtree(labels)  # what it learns from is kept in the run folder
    shutil.copytree(tmp_path / "torchrun", tmp_path / "begun")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    torchrun += ["--rdzv-endpoint", "localhost:0", "-m", "swsss.runs.training", str(tmp_path / "torchrun")]
    done = subprocess.run(torchrun, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    with launched_quickly():
        kept = folder.with_labels(tmp_path / "begun/stage2", keep=folder.listed("train")[:5])
        train_room.train_in_processes(2, *what[:1], kept, what[2], tmp_path / "begun", "cpu", {"labels": str(labels)})
    assert results(tmp_path / "torchrun") == results(tmp_path / "begun")
