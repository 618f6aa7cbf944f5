"A run of label writing that is killed at any moment, and started again, ends with the bytes of one that never was."

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WRITER = """
import sys, torch
from torch import nn
from swsss.data import VOCFolder
from swsss.predict import write_pseudo_labels

class Small(nn.Module):
    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 5, padding=2)
    def forward(self, images):
        return 5 * self.conv(images)

root, label_dir = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)
folder = VOCFolder(root)
hybrid, pseudo = Small(folder.num_classes), Small(folder.num_classes)
print("ready", flush=True)
write_pseudo_labels(
    label_dir, folder, folder.listed("trainaug"), hybrid, {"network": "hybrid"}, other=pseudo,
    class_iou=torch.linspace(0.9, 0.4, folder.num_classes), strong=folder.listed("train"), progress=False,
)
"""


def start(root, label_dir):
    "The writer in a process of its own, past its imports."
    command = [sys.executable, "-c", WRITER, str(root), str(label_dir)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout.readline() == b"ready\n"
    return process


def digests(label_dir):
    "Every file of a label folder but what a kill may leave under a temporary name."
    files = (p for p in Path(label_dir).iterdir() if not p.name.startswith(".tmp-"))
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    from swsss.scenes import draw_demo

    root = draw_demo(tmp_path_factory.mktemp("data") / "demo", strong=4, weak=36, val=1)
    expected = root.parent / "labels"
    begun = time.monotonic()
    assert start(root, expected).wait() == 0
    return root, digests(expected), time.monotonic() - begun


@pytest.mark.parametrize("seed", range(int(os.environ.get("SWSSS_KILLS", "3"))))
def test_killed_and_started_again(demo, tmp_path, seed):
    root, expected, seconds = demo
    rng, kills, label_dir = random.Random(seed), 0, tmp_path / "labels"
    for _ in range(50):
        process = start(root, label_dir)
        try:
            process.wait(timeout=rng.uniform(0.02, 0.4))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    assert process.returncode == 0
    assert kills >= 1, "it was never killed: too fast for this test"
    assert digests(label_dir) == expected


def test_a_line_cut_in_half_is_written_again(demo, tmp_path):
    root, expected, _ = demo
    assert start(root, tmp_path).wait() == 0
    scores = (tmp_path / "scores.csv").read_bytes()
    (tmp_path / "scores.csv").write_bytes(scores[:-20])
    assert start(root, tmp_path).wait() == 0
    assert digests(tmp_path) == expected


def test_two_writers_at_once(demo, tmp_path):
    root, expected, _ = demo
    both = [start(root, tmp_path / "labels") for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert digests(tmp_path / "labels") == expected
