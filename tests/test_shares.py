"Labels and numbers that several processes make in shares, killed and started again, are those of one process."

import errno
import hashlib
import multiprocessing
import os
import random
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import nn

from swsss.photos.demo import draw_demo
from swsss.photos.files import hold_share, read_json, write_json
from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import label_files, read_scores, write_corrected, write_pseudo_labels
from swsss.runs.quality import count_share, evaluate_once

pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["swsss.runs.quality"])  # its imports take seconds; done once, for all processes
PATIENCE = 120  # seconds; long, so that a busy machine fails no test
HOW = {"scales": (1.0,), "flip": False}


class Small(nn.Module):
    "One convolution, which takes its time."

    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)
    refine, about = False, {"digest": "c0ffee"}

    def __init__(self, num_classes):
        super().__init__()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, num_classes, 5, padding=2)

    def forward(self, images):
        time.sleep(0.02)
        return 5 * self.conv(images)


def label(root, label_dir, share=""):
    folder = VOCFolder(root)
    about, how = {"network": "hybrid", "hybrid": "c0ffee"}, {"progress": False, **HOW}
    strong, names = folder.listed("train"), folder.listed("trainaug")
    return write_pseudo_labels(
        label_dir, folder, names, Small(folder.num_classes), about, strong=strong, share=share, **how
    )


def measure(root, numbers, share=""):
    folder = VOCFolder(root)
    made = numbers, "HybridNet", Small(folder.num_classes), folder, True, "val"
    return count_share(*made, share, **HOW) if share else evaluate_once(*made, **HOW)


def start(work, *arguments):
    process = processes.Process(target=work, args=arguments)
    process.start()
    return process


def end(*started):
    "Their exit codes."
    for process in started:
        process.join(PATIENCE)
    return [process.exitcode for process in started]


def killed_at_random(rng, work, *arguments, count):
    "All shares of `count` at once, each killed within a second, unless it was quicker."
    started = [start(work, *arguments, f"{k}/{count}") for k in range(1, count + 1)]
    until = {process: time.monotonic() + rng.uniform(0.05, 0.9) for process in started}
    for process in sorted(started, key=until.get):
        process.join(max(0, until[process] - time.monotonic()))
        process.kill()
    return end(*started)


def digests(folder):
    "Every file, hidden ones of locks aside."
    files = (path for path in Path(folder).rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return draw_demo(tmp_path_factory.mktemp("data") / "demo", strong=4, weak=36, val=33)


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    "What one process makes."
    home = tmp_path_factory.mktemp("whole")
    label(root, home / "labels")
    measure(root, home / "run/evaluation.json")
    return home


def test_labels_in_shares_of_any_number_are_those_of_one_process(root, whole, tmp_path):
    rng, label_dir = random.Random(0), tmp_path / "labels"
    codes = killed_at_random(rng, label, root, label_dir, count=3)
    codes += killed_at_random(rng, label, root, label_dir, count=2)
    assert set(codes) - {0}, "none was killed: nothing was tested"
    assert end(*[start(label, root, label_dir, f"{k}/5") for k in (1, 2, 4, 5)]) == [0] * 4
    assert len(read_scores(label_dir)) == len(label_files(label_dir)) < 41
    assert end(start(label, root, label_dir)) == [0]
    assert digests(label_dir) == digests(whole / "labels")
    assert sorted(path.name for path in label_dir.glob(".*")) == [".labels.lock"]


def test_a_number_in_shares_of_any_number_is_that_of_one_process(root, whole, tmp_path):
    rng, numbers = random.Random(1), tmp_path / "run/evaluation.json"
    codes = killed_at_random(rng, measure, root, numbers, count=2)
    codes += killed_at_random(rng, measure, root, numbers, count=3)
    assert set(codes) - {0}, "none was killed: nothing was tested"
    assert end(*[start(measure, root, numbers, share) for share in ("1/2", "2/3")]) == [0, 0]
    assert list((tmp_path / "run/shares").iterdir()), "nothing was kept"
    assert end(start(measure, root, numbers)) == [0]
    assert digests(tmp_path / "run") == digests(whole / "run")
    assert sorted(path.name for path in numbers.parent.glob(".*")) == [".evaluation.lock"]


def test_photos_that_two_shares_counted_count_once(root, whole, tmp_path):
    numbers = tmp_path / "run/evaluation.json"
    measure(root, numbers, "1/2")
    (mine,) = (numbers.parent / "shares").iterdir()
    kept = mine.read_bytes()
    mine.unlink()
    measure(root, numbers, "1/3")  # begun before the other had written, so both counted some
    mine.write_bytes(kept)
    names = [set(read_json(path)["names"]) for path in mine.parent.iterdir()]
    assert len(names) == 2 and names[0] & names[1]
    measure(root, numbers)
    assert digests(numbers.parent) == digests(whole / "run")


def test_the_same_share_twice_is_refused_in_a_sentence_and_others_go_on(root, tmp_path, monkeypatch):
    monkeypatch.setattr("swsss.runs.label_folder.hold_share", partial(hold_share, timeout=0.1))
    with hold_share(tmp_path / "labels", (1, 2)):
        sentence = f"share 1/2 in {tmp_path / 'labels'} is being made by another process: wait for it"
        with pytest.raises(RuntimeError, match=sentence):
            label(root, tmp_path / "labels", "1/2")
        assert len(label(root, tmp_path / "labels", "2/2")) == 20


def test_the_collecting_call_says_who_is_still_at_work(root, whole, tmp_path, capsys):
    with hold_share(tmp_path / "labels", (1, 2)):
        assert len(label(root, tmp_path / "labels")) == 40
    assert "Share 1/2 is being made by another process, and here once more." in capsys.readouterr().out
    assert digests(tmp_path / "labels") == digests(whole / "labels")


def test_a_bad_photo_is_left_out_of_its_share_alone(whole, tmp_path, capsys):
    root = draw_demo(tmp_path / "demo", strong=2, weak=6, val=1)
    bad = sorted(VOCFolder(root).listed("trainaug"))[0]
    photo = VOCFolder(root).image_path(bad)
    photo.write_bytes(photo.read_bytes()[:100])
    counts = [len(label(root, tmp_path / "labels", f"{k}/3")) for k in (1, 2, 3)]
    assert counts == [2, 3, 2] and capsys.readouterr().out.count(f"Left out: {photo}") == 1
    assert len(label(root, tmp_path / "labels", "9/9")) == 0 and len(label(root, tmp_path / "labels")) == 7


def test_a_persons_label_stays_in_every_share(root, tmp_path):
    label_dir, folder = tmp_path / "labels", VOCFolder(root)
    label(root, label_dir, "1/2")
    drawn = sorted(folder.listed("trainaug"))[:2]  # one of each share, one of them labelled
    write_corrected(label_dir, [(name, folder.labels(folder.listed("train")[0])) for name in drawn], folder=folder)
    before = [(label_dir / f"{name}.png").read_bytes() for name in drawn]
    for share in ("1/2", "2/2", "2/3", ""):
        label(root, label_dir, share)
        assert [(label_dir / f"{name}.png").read_bytes() for name in drawn] == before
    assert len(list((label_dir / "network").iterdir())) == 2 and len(read_scores(label_dir)) == 40


def test_an_entry_that_another_process_added_meanwhile_stays(root, tmp_path):
    numbers = tmp_path / "run/evaluation.json"

    class Slow(Small):
        def forward(self, images):
            if not numbers.exists():
                numbers.parent.mkdir(exist_ok=True)
                write_json(numbers, {"another": {"network": "PseudoNet", "miou": 0.5}})
            return super().forward(images)

    folder = VOCFolder(root)
    evaluate_once(numbers, "HybridNet", Slow(folder.num_classes), folder, True, "train", **HOW)
    assert len(read_json(numbers)) == 2 and read_json(numbers)["another"]["miou"] == 0.5


def test_a_disk_without_locks_is_refused_before_anything_is_counted(root, tmp_path):
    numbers = tmp_path / "run/evaluation.json"
    with (
        patch("fcntl.flock", side_effect=OSError(errno.ENOLCK, "No locks available")),
        patch.object(Small, "forward", side_effect=AssertionError("counted")),
    ):
        for share in ("", "1/2"):
            with pytest.raises(OSError, match=f"{numbers.parent} cannot be locked .* nothing was written"):
                measure(root, numbers, share)
