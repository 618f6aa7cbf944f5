"A run of label writing that is killed at any moment, and started again, ends with the bytes of one that never was."

import hashlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from swsss.photos.demo import draw_demo
from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import write_pseudo_labels

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["swsss.runs.label_folder"])  # its imports take seconds; done once, for all processes


class Small(nn.Module):
    "One convolution."

    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)

    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 5, padding=2)

    def forward(self, images):
        return 5 * self.conv(images)


def write(root, label_dir):
    "What is killed."
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = VOCFolder(root)
    hybrid, pseudo = Small(folder.num_classes), Small(folder.num_classes)
    write_pseudo_labels(
        label_dir,
        folder,
        folder.listed("trainaug"),
        hybrid,
        {"network": "hybrid"},
        other=pseudo,
        class_iou=torch.linspace(0.9, 0.4, folder.num_classes),
        strong=folder.listed("train"),
        progress=False,
    )


def start(root, label_dir):
    process = processes.Process(target=write, args=(root, label_dir))
    process.start()
    return process


def digests(label_dir):
    "Every file of a label folder but what a kill may leave under a temporary name."
    files = (p for p in Path(label_dir).iterdir() if not p.name.startswith(".tmp-"))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    "A folder, the digests of labels written in one go, and how long that took."
    root = draw_demo(tmp_path_factory.mktemp("data") / "demo", strong=4, weak=36, val=1)
    for attempt in ("warm", "labels"):
        begun = time.monotonic()
        process = start(root, root.parent / attempt)
        process.join()
        assert process.exitcode == 0
    return root, digests(root.parent / "labels"), time.monotonic() - begun


@pytest.mark.parametrize("seed", range(int(os.environ.get("SWSSS_KILLS", "4"))))
def test_killed_and_started_again(whole, tmp_path, seed):
    root, expected, seconds = whole
    rng, label_dir, kills = random.Random(seed), tmp_path / "labels", 0
    while kills < 5:
        process = start(root, label_dir)
        process.join(rng.uniform(0, 0.5 * seconds))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills, "it was never killed: nothing was tested"
    process = start(root, label_dir)
    process.join()
    assert process.exitcode == 0
    assert digests(label_dir) == expected


def test_a_line_cut_in_half_is_written_again(whole, tmp_path):
    root, expected, _ = whole
    for _ in range(2):
        process = start(root, tmp_path)
        process.join()
        assert process.exitcode == 0
        assert digests(tmp_path) == expected
        scores = (tmp_path / "scores.csv").read_bytes()
        (tmp_path / "scores.csv").write_bytes(scores[:-20])


def test_two_writers_at_once(whole, tmp_path):
    root, expected, _ = whole
    both = [start(root, tmp_path / "labels") for _ in range(2)]
    for process in both:
        process.join()
        assert process.exitcode == 0
    assert digests(tmp_path / "labels") == expected
