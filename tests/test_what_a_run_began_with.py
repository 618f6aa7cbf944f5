"""A run learns from what it began with.

Stage 2 from its labels, whatever happens to their folder, and a run that goes on from the same photos and masks, byte
for byte. A copy, another machine or a checkout change nothing.
"""

import contextlib
import os
import shutil
import signal
import sys

import numpy as np
import pytest
import torch
from data_folder import make_folder
from PIL import Image
from run_folder import QUICK, checkpoints, results

from swsss.method.model import load_network
from swsss.method.recipe import retrain_recipe
from swsss.photos import check, files
from swsss.photos.files import read_json, write_json
from swsss.photos.folder import VOCFolder
from swsss.runs import training as train_room
from swsss.runs.quality import evaluate_once
from swsss.runs.run_folder import Run

STEPS = 6
STAGE2 = retrain_recipe(QUICK, "demo", iterations=STEPS, num_strong=4, workers=0, log_every=1)
STAGE1 = QUICK.change(iterations=STEPS, workers=0)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    "One thread, and a cache of its own."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.set_num_threads(1)


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "voc").root


def write_plain(path, labels):
    "A mask without compression: all of one size in pixels have one size in bytes."
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path, "PNG", compress_level=0)


def label_all(folder, label_dir, index):
    "Labels of one class throughout for all images without a mask."
    for name in "efgh":
        write_plain(label_dir / f"{name}.png", np.full(folder.image(name).shape[:2], index))


def written_anew(folder, label_dir):
    label_all(folder, label_dir, 2)


def replaced(folder, label_dir):
    label_all(folder, label_dir.with_name("others"), 2)
    for path in label_dir.with_name("others").iterdir():
        os.replace(path, label_dir / path.name)


def deleted(folder, label_dir):
    shutil.rmtree(label_dir)


def at_step(monkeypatch, number, call):
    "Call before the n-th step."
    steps, plain = iter(range(1, 1000)), train_room.step_losses

    def step_losses(*arguments):
        if next(steps) == number:
            call()
        return plain(*arguments)

    monkeypatch.setattr(train_room, "step_losses", step_losses)


def stage2(root, label_dir, run, names="abcdefgh"):
    folder = VOCFolder(root)
    view = folder.with_labels(label_dir, keep="abcd")
    train_room.train(STAGE2, view, list(names), run, "cpu", {"labels": str(label_dir)})


def stage1(root, run, **changes):
    train_room.train(STAGE1.change(**changes), VOCFolder(root), list("abcd"), run, "cpu")


def stopped(call, monkeypatch, number=3):
    "Ask a run to stop in its n-th step, as a scheduler does."
    with monkeypatch.context() as patch:
        at_step(patch, number, lambda: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt, match="goes on"):
            call()


def expected(root, tmp_path):
    "What stage 2 ends with where nobody touches its labels."
    label_all(VOCFolder(root), tmp_path / "untouched", 1)
    stage2(root, tmp_path / "untouched", tmp_path / "whole")
    return results(tmp_path / "whole")


# stage 2


@pytest.mark.parametrize("happens", [written_anew, replaced, deleted])
def test_what_happens_to_labels_while_they_are_learned_from(root, tmp_path, monkeypatch, happens):
    labels, folder = tmp_path / "labels", VOCFolder(root)
    label_all(folder, labels, 1)
    with monkeypatch.context() as patch:
        at_step(patch, 1, lambda: happens(folder, labels))
        stage2(root, labels, tmp_path / "run")
    assert results(tmp_path / "run") == expected(root, tmp_path)


@pytest.mark.parametrize("happens", [written_anew, replaced])
def test_what_happens_to_labels_before_a_run_goes_on(root, tmp_path, monkeypatch, capsys, happens):
    labels, folder, run = tmp_path / "labels", VOCFolder(root), tmp_path / "run"
    label_all(folder, labels, 1)
    stopped(lambda: stage2(root, labels, run), monkeypatch)
    happens(folder, labels)
    capsys.readouterr()
    stage2(root, labels, run)
    said = capsys.readouterr().out
    assert "4 labels, such as e, are not as they were when" in said and "pass another name" in said
    assert results(run) == expected(root, tmp_path)
    stage2(root, labels, run)
    said = capsys.readouterr().out
    assert "4 labels, such as e" in said and "is trained already" in said


def test_labels_that_somebody_rejects_meanwhile(root, tmp_path, monkeypatch, capsys):
    labels, run = tmp_path / "labels", tmp_path / "run"
    label_all(VOCFolder(root), labels, 1)
    stopped(lambda: stage2(root, labels, run), monkeypatch)
    stage2(root, labels, run, names="abcdeg")
    assert "2 labels, such as f" in capsys.readouterr().out
    assert results(run) == expected(root, tmp_path)


def test_nothing_is_said_where_nothing_has_changed(root, tmp_path, monkeypatch, capsys):
    labels, run = tmp_path / "labels", tmp_path / "run"
    label_all(VOCFolder(root), labels, 1)
    stopped(lambda: stage2(root, labels, run), monkeypatch)
    for path in labels.iterdir():
        os.utime(path, (0, 0))
    stage2(root, labels, run)
    assert "as they were" not in capsys.readouterr().out
    assert not (run / "stage2").exists() and results(run) == expected(root, tmp_path)


def test_a_run_of_stage2_killed_as_it_begins(root, tmp_path, monkeypatch):
    "Between its labels and its recipe: what it kept of labels is not taken for all of them."
    labels, run = tmp_path / "labels", tmp_path / "run"
    label_all(VOCFolder(root), labels, 1)
    (run / "stage2").mkdir(parents=True)
    (run / ".tmp-x/all").mkdir(parents=True)
    shutil.copy(labels / "e.png", run / "stage2")
    stage2(root, labels, run)
    assert results(run) == expected(root, tmp_path)


def test_the_runs_own_labels_are_looked_at_too(root, tmp_path, monkeypatch):
    labels, run = tmp_path / "labels", tmp_path / "run"
    label_all(VOCFolder(root), labels, 1)
    stopped(lambda: stage2(root, labels, run), monkeypatch)
    label_all(VOCFolder(root), run / "stage2", 2)
    with pytest.raises(
        ValueError, match=r"4 of the masks, such as e.*put them back as they were, or pass another name"
    ):
        stage2(root, labels, run)


# masks and photos


def other_mask(root):
    path = root / "SegmentationClass/b.png"
    write_plain(path, 1 - np.asarray(Image.open(path)).clip(max=1))
    return "1 of the masks, such as b"


def other_val_mask(root):
    path = root / "SegmentationClass/y.png"
    write_plain(path, 1 - np.asarray(Image.open(path)).clip(max=1))
    return "1 of the masks, such as y"


def other_photo(root):
    "Of the same size: a smaller JPEG may have bytes behind its end."
    small, large = sorted((root / "JPEGImages").iterdir(), key=lambda path: path.stat().st_size)[:: len("abcdefghxy")]
    content = small.read_bytes()
    large.write_bytes(content.ljust(large.stat().st_size, b"\0"))
    return f"1 of the photos, such as {large.stem}"


def begun(root, run, monkeypatch):
    "A run of stage 1 on masks without compression, stopped after its third step."
    for path in (root / "SegmentationClass").iterdir():
        write_plain(path, np.asarray(Image.open(path)))
    stopped(lambda: stage1(root, run), monkeypatch)
    return {path: (path.read_bytes(), path.stat()) for path in root.rglob("*.*") if path.is_file()}


@pytest.mark.parametrize("time_back", [False, True], ids=["", "time set back"])
@pytest.mark.parametrize("change", [other_mask, other_val_mask, other_photo])
def test_a_file_replaced_by_one_of_equal_size(root, tmp_path, monkeypatch, change, time_back):
    before = begun(root, tmp_path / "run", monkeypatch)
    named = change(root)
    for path, (content, stat) in before.items():
        assert path.stat().st_size == len(content)
        if time_back:
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ValueError, match="the data differ") as refused:
        stage1(root, tmp_path / "run")
    assert named in str(refused.value) and "put them back as they were, or pass another name" in str(refused.value)
    for path, (content, _) in before.items():
        path.write_bytes(content)
    stage1(root, tmp_path / "run")  # the remedy works
    assert (tmp_path / "run/finished.json").is_file()


def touched(root):
    for path in root.rglob("*"):
        os.utime(path, (10**9, 10**9))
    return root


def written_again(root):
    "As git checkout does."
    for path in root.rglob("*.*"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    return root


def copied(root):
    return shutil.copytree(root, root.with_name("copy"))


@pytest.mark.parametrize("change", [touched, written_again, copied])
def test_the_same_bytes_go_on(root, tmp_path, monkeypatch, change):
    begun(root, tmp_path / "run", monkeypatch)
    stage1(change(root), tmp_path / "run")
    stage1(root, tmp_path / "whole")
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_masks_that_are_not_learned_from_are_not_read(tmp_path, monkeypatch):
    root, opened, looking = make_folder(tmp_path / "voc", masks="abcdefghxyz").root, set(), [True]
    sys.addaudithook(lambda event, args: opened.add(str(args[0])) if looking and event == "open" else None)
    stopped(lambda: stage1(root, tmp_path / "run"), monkeypatch)
    looking.clear()
    assert {name for name in "abcdefghxyz" if str(root / f"SegmentationClass/{name}.png") in opened} == set("abcdxyz")
    write_plain(root / "SegmentationClass/f.png", np.zeros((24, 32)))
    stage1(root, tmp_path / "run")  # nor does it matter what they hold


def test_other_masks_by_the_same_split(root, tmp_path, monkeypatch):
    "A list's path is the same, and names in it are not."
    stopped(lambda: stage1(root, tmp_path / "run"), monkeypatch)
    with pytest.raises(ValueError, match=r"the data differ .which masks are learned from, such as d"):
        train_room.train(STAGE1, VOCFolder(root), list("abc"), tmp_path / "run", "cpu")


def test_files_are_read_once(root, tmp_path, monkeypatch):
    "Where they are as they were; a file changed within the tick in which it was read cannot be told from that."
    read, plain = [], check.file_digest
    monkeypatch.setattr(check, "file_digest", lambda path: read.append(os.path.basename(path)) or plain(path))
    folder = VOCFolder(root)
    first = folder.contents("abcd")
    assert len(read) == 11 + 4
    folder.contents("abcd")
    assert len(read) == 2 * 15  # just written
    monkeypatch.setattr(files, "SETTLED_NS", -(10**15))
    assert folder.contents("abcd") == first and len(read) == 2 * 15
    other_mask(root)
    now = folder.contents("abcd")
    assert read[2 * 15 :] == ["b.png"] and now["masks"]["b"] != first["masks"]["b"]
    shutil.rmtree(tmp_path / "cache")
    assert folder.contents("abcd") == now and len(read) == 3 * 15 + 1


def test_a_run_that_knew_its_data_by_their_sizes_goes_on(root, tmp_path, monkeypatch):
    before, run = begun(root, tmp_path / "run", monkeypatch), tmp_path / "run"
    (run / "data.json").unlink()
    mask = root / "SegmentationClass/a.png"
    mask.write_bytes(mask.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"the data differ .lists, tags or the size of a file"):
        stage1(root, run)
    mask.write_bytes(before[mask][0])
    stopped(lambda: stage1(root, run), monkeypatch, number=1)
    assert checkpoints(run)[-1] == 4 and (run / "data.json").is_file()
    other_mask(root)
    with pytest.raises(ValueError, match="1 of the masks, such as b"):
        stage1(root, run)  # from here on by what they hold


def test_stage2_of_a_run_that_knew_its_data_by_their_sizes_goes_on(root, tmp_path, monkeypatch):
    labels, run, folder = tmp_path / "labels", tmp_path / "run", VOCFolder(root)
    label_all(folder, labels, 1)
    stopped(lambda: stage2(root, labels, run), monkeypatch)
    shutil.rmtree(run / "stage2")
    (run / "data.json").unlink()
    stopped(lambda: stage2(root, labels, run), monkeypatch, number=1)
    written_anew(folder, labels)
    stage2(root, labels, run)
    assert results(run) == expected(root, tmp_path)


# evaluation


def test_a_network_is_measured_again_on_other_masks_of_equal_size(root, tmp_path, monkeypatch):
    begun(root, tmp_path / "run", monkeypatch)
    stage1(root, tmp_path / "run")
    network, kept = load_network(tmp_path / "run/hybrid.safetensors", device="cpu"), tmp_path / "evaluation.json"
    with contextlib.redirect_stderr(open(os.devnull, "w", encoding="utf-8")):
        before = evaluate_once(kept, "HybridNet", network, VOCFolder(root), True, scales=(1.0,))
        entries = read_json(kept)
        for entry in entries.values():
            entry["miou"] = 0.5  # to know it again
        write_json(kept, entries)
        assert evaluate_once(kept, "HybridNet", network, VOCFolder(root), True, scales=(1.0,))["miou"] == 0.5
        other_val_mask(root)
        after = evaluate_once(kept, "HybridNet", network, VOCFolder(root), True, scales=(1.0,))
    assert after["miou"] != 0.5 and after["iou"] != before["iou"]


def test_what_is_kept_is_what_was_there(root, tmp_path):
    folder, run = VOCFolder(root), tmp_path / "run"
    with Run(run, STAGE1, folder, strong=list("abcd")):
        pass
    kept = read_json(run / "data.json")
    assert kept == folder.contents("abcdxyz") | {"strong": list("abcd"), "labels": []}
    assert set(kept["photos"]) == set("abcdefghxyz") and set(kept["masks"]) == set("abcdxyz")
