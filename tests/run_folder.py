"Runs on a small demo folder, each in a process of its own, to be killed, stopped and hurt by tests."

import io
import itertools
import multiprocessing
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import safetensors.torch
import torch

from swsss.method import model
from swsss.method.recipe import Recipe
from swsss.photos.files import file_digest
from swsss.photos.folder import VOCFolder
from swsss.runs import launch
from swsss.runs import run_folder as run_room
from swsss.runs import training as train_room

PATIENCE = 600  # seconds; long, so that a busy machine fails no test
QUICK = Recipe.demo(
    channels=16,
    crop=32,
    num_strong=2,
    num_weak=2,
    iterations=12,
    log_every=1,
    save_every=3,
    snapshots=1,
    snapshot_every=4,
)
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir"}  # of the interpreter's audit: each is one more kill point

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    ["swsss.runs.training", "swsss.runs.label_folder"]
)  # imports take seconds: done once, for all processes


# A process that trains


def work(root, run, output, prepare, recipe):
    "What the process does."
    with open(output, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # of loader workers, as in a process not begun by a test
    torch.set_num_threads(1)
    run_room.time = SimpleNamespace(**{**vars(time), "monotonic": lambda: 0})  # on a busy machine none by time
    if prepare:
        prepare()
    folder = VOCFolder(root)
    train_room.train(recipe, folder, folder.listed("train"), run, "cpu")


def start(root, run, prepare=None, **changes):
    "A process that trains `QUICK` with `changes`, after calling `prepare`."
    arguments = root, run, run.with_suffix(".txt"), prepare, QUICK.change(**changes)
    process = processes.Process(target=work, args=arguments)
    process.start()
    return process


def train(root, run, prepare=None, **changes):
    "The exit code of such a process, and what it printed."
    before = len(printed(run))
    process = start(root, run, prepare, **changes)
    process.join(PATIENCE)
    assert process.exitcode is not None, f"it hangs: {printed(run)}"
    return process.exitcode, printed(run)[before:]


def go_on(root, run, **changes):
    "What the same command prints when given once more; it must reach the end."
    code, text = train(root, run, **changes)
    assert code == 0, text
    return text


def printed(run):
    "All that the processes of a run have printed."
    output = run.with_suffix(".txt")
    return output.read_text() if output.is_file() else ""


@contextmanager
def launched_quickly():
    "Within it, processes that train together are forked off the server above, in place of new ones."
    plain = launch.multiprocessing.get_context
    launch.multiprocessing.get_context = lambda _: processes
    try:
        yield
    finally:
        launch.multiprocessing.get_context = plain


# What is in a run folder


def results(run):
    "What must not depend on interruptions: weights, metrics, label maps. Nothing else may be left over."
    assert not list(run.rglob(".tmp*"))
    assert not list((run / "resume").iterdir())
    kept = [*run.glob("*.safetensors"), run / "metrics.csv", *run.rglob("*.png")]
    return {str(path.relative_to(run)): path.read_bytes() for path in kept}


def checkpoints(run):
    "Iterations of the checkpoints, oldest first; each must match its digest and be finite."
    found = sorted((run / "resume").glob("[0-9]*.pt"))
    for path in found:
        assert file_digest(path) == path.stem.split("-")[1]
        assert all_finite(torch.load(path, weights_only=True)), path
    return [int(path.stem.split("-")[0]) for path in found]


def all_finite(state):
    "Whether no tensor anywhere in a nested state holds a NaN or an infinity."
    if isinstance(state, dict | list | tuple):
        return all(map(all_finite, state.values() if isinstance(state, dict) else state))
    return not isinstance(state, torch.Tensor) or state.isfinite().all()


def rows(run):
    "Lines in metrics.csv."
    metrics = run / "metrics.csv"
    return metrics.read_text().count("\n") if metrics.is_file() else 0


def wait_for(condition, is_alive):
    "Poll until `condition()` holds, while `is_alive()` does."
    end = time.monotonic() + PATIENCE
    while not condition():
        assert is_alive(), "the process ended before"
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


# Things to do to a run: functions to `prepare` its process with


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def signal_group(number):
    "As a terminal or a scheduler does: the process and its workers."
    os.killpg(os.getpgid(0), number)


def _on_file_events(run, call):
    "Call with the number and description of each thing this process is about to do to a file of the run."
    here, counter = os.getpid(), itertools.count(1)

    def hook(event, arguments):
        if event in EVENTS and os.getpid() == here and str(arguments[0]).startswith(str(run)):
            call(next(counter), f"{event} {arguments[0]}")

    sys.addaudithook(hook)


def list_events(run):
    "Write down every file event."
    listing = os.open(run.with_suffix(".events"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    _on_file_events(run, lambda number, event: os.write(listing, f"{event}\n".encode()))


def die_before_event(run, number):
    "End with SIGKILL right before a file event."
    _on_file_events(run, lambda this, event: die() if this == number else None)


def die_inside_write(number):
    "End with SIGKILL in the middle of the n-th write of tensors, by torch.save or by safetensors."
    counter, plain = itertools.count(1), torch.save

    def write(content, path, half_written):
        if next(counter) == number:
            half_written.write_bytes(content[: len(content) // 2])
            die()
        path.write_bytes(content)

    def save(state, file):
        content = io.BytesIO()
        plain(state, content)
        write(content.getvalue(), Path(file.name), Path(file.name))

    def save_file(tensors, path, metadata=None):
        # safetensors has a temporary file of its own
        write(safetensors.torch.save(tensors, metadata), Path(path), Path(path).with_name(".tmpRhw1Z2"))

    torch.save, model.save_file = save, save_file


def at_step(number, call):
    "Call in the middle of the n-th step that this process makes; what it returns, if anything, are the losses."
    counter, plain = itertools.count(1), train_room.step_losses

    def step_losses(*arguments):
        losses = plain(*arguments)
        return (call() or losses) if next(counter) == number else losses

    train_room.step_losses = step_losses


def slow_steps(seconds):
    "Make every step longer, so that there is time to interrupt it."
    plain = train_room.step_losses

    def step_losses(*arguments):
        time.sleep(seconds)
        return plain(*arguments)

    train_room.step_losses = step_losses
