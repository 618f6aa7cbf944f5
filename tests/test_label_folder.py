"A person's work in a label folder is never lost, and never invented, whatever happens between two writes."

import errno
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from data_folder import SIZE, make_folder
from filelock import FileLock
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import nn

from swsss.photos.files import read_json, remove_leftovers, temporary_path, write_json, write_whole
from swsss.photos.folder import VOCFolder
from swsss.photos.formats import WRITERS, Labelled
from swsss.photos.images import pixel_digest, read_labels, write_labels
from swsss.photos.new_photos import PhotoFolder
from swsss.photos.read_exports import open_export
from swsss.runs.export import export_labels
from swsss.runs.label_folder import (
    Judgements,
    LabelChanged,
    changed_photos,
    import_labels,
    kept_labels,
    label_maker,
    label_version,
    network_label,
    read_corrected,
    read_scores,
    restore_network_label,
    stage2_folder,
    usable_labels,
    write_corrected,
    write_pseudo_labels,
)

TRIES = int(os.environ.get("SWSSS_TRIES", "3"))
fork = multiprocessing.get_context("fork")
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(["swsss.runs.label_folder"])
pytestmark = pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")


class Small(nn.Module):
    "One convolution; `busy` is called with each photo that it sees."

    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)

    def __init__(self, num_classes=3, busy=None):
        super().__init__()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.conv, self.busy = nn.Conv2d(3, num_classes, 5, padding=2), busy

    def forward(self, images):
        if self.busy:
            self.busy()
        return 5 * self.conv(images)


def label(label_dir, folder, names=None, busy=None):
    "Pseudo labels by a network of one convolution."
    names = names or folder.names
    made_by = {"network": "hybrid", "hybrid": "c0ffee"}
    options = {"scales": (1.0,), "flip": False, "progress": False}
    return write_pseudo_labels(label_dir, folder, names, Small(folder.num_classes, busy), made_by, **options)


def drawn(value, size=SIZE):
    "A person's label: one class, and one pixel that tells whose it is."
    labels = np.full(size, 1, np.uint8)
    labels[divmod(value, size[1])] = 2
    return labels


def is_persons(label_dir, name, labels):
    "Whether a label is there as a person made it, and counts as theirs."
    there = np.array_equal(read_labels(label_dir / f"{name}.png"), labels)
    return there and name in read_corrected(label_dir) and label_maker(label_dir, name).made_by == "person"


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


@pytest.fixture
def labels(tmp_path, folder):
    "A label folder, labelled by a network."
    label(tmp_path / "labels", folder)
    return tmp_path / "labels"


# 1. Labelling and a person's saves at the same time


def test_a_label_saved_while_its_photo_is_with_the_network_stays(tmp_path, folder):
    label_dir, queue = tmp_path / "labels", list(folder.names)

    def save():
        name = queue.pop(0)
        write_corrected(label_dir, [(name, drawn(len(queue)))], folder=folder)

    scores = label(label_dir, folder, busy=save)
    assert not queue and list(scores["name"]) == folder.names
    for number, name in enumerate(reversed(folder.names)):
        assert is_persons(label_dir, name, drawn(number))
        assert label_maker(label_dir, name).photo
        restore_network_label(label_dir, name)  # the network's label was made, and waits
        assert label_maker(label_dir, name).made_by == "network"


def exported(place, folder, names):
    "Labels that a person corrected in another tool."
    items = (Labelled(name, drawn(i), folder.image_path(name), f"{name}.jpg") for i, name in enumerate(names))
    WRITERS["voc"](place, items, folder.classes)


def in_process(method, *arguments):
    process = method.Process(target=arguments[0], args=arguments[1:])
    process.start()
    return process


def label_slowly(root, label_dir):
    folder = VOCFolder(root)
    label(label_dir, folder, busy=lambda: time.sleep(0.01))


def import_all(export, root, label_dir):
    import_labels(export, label_dir, VOCFolder(root))


@pytest.mark.parametrize("first", ["label", "import"])
@pytest.mark.parametrize("attempt", range(TRIES))
def test_an_import_while_the_folder_is_labelled(tmp_path, folder, first, attempt):
    label_dir, names = tmp_path / "labels", folder.names
    exported(tmp_path / "export.zip", folder, names)
    tasks = {
        "label": (label_slowly, folder.root, label_dir),
        "import": (import_all, tmp_path / "export.zip", folder.root, label_dir),
    }
    processes = []
    for which in (first, *(tasks.keys() - {first})):
        processes.append(in_process(forkserver, *tasks[which]))
        time.sleep(0.02 * attempt)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [name for i, name in enumerate(names) if not is_persons(label_dir, name, drawn(i))] == []
    assert set(read_scores(label_dir)["name"]) == set(names)


# 2. A kill between any two steps


def killed_before(event, act):
    "Run `act` in a process that ends with SIGKILL before its n-th step on a file; whether it came to its end."

    def work():
        steps = 0

        def hook(name, arguments):
            nonlocal steps
            if name in ("open", "os.rename", "os.remove", "os.mkdir") and "/labels" in str(arguments[0]):
                steps += 1
                if steps == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        act()

    process = in_process(fork, work)
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def each_kill(tmp_path, prepare, act):
    "A label folder for each moment at which `act` can be killed, and one where it was not."
    event, done = 0, False
    while not done:
        event += 1
        label_dir = tmp_path / f"{event}/labels"
        prepare(label_dir)
        done = killed_before(event, lambda label_dir=label_dir: act(label_dir))
        yield label_dir, done
    assert event > 5, "it was hardly killed: nothing was tested"


def test_killed_while_a_correction_is_saved(tmp_path, folder):
    mine, shown = drawn(1), {}

    def prepare(label_dir):
        label(label_dir, folder, ["a"])
        shown["a"] = read_labels(label_dir / "a.png")

    for label_dir, done in each_kill(tmp_path, prepare, lambda label_dir: write_corrected(label_dir, [("a", mine)])):
        now = read_labels(label_dir / "a.png")
        if np.array_equal(now, mine):
            assert read_corrected(label_dir) == ["a"] and usable_labels(label_dir, ["a"], [], "corrected") == ["a"]
            assert np.array_equal(read_labels(network_label(label_dir, "a")), shown["a"])
        else:
            assert np.array_equal(now, shown["a"]) and read_corrected(label_dir) == [] and not done
        label(label_dir, folder, ["a"])
        assert np.array_equal(read_labels(label_dir / "a.png"), now)
        assert not [*label_dir.rglob(".tmp-*")]
        assert (label_dir / "corrected.txt").exists() == (read_corrected(label_dir) == ["a"])


def test_killed_while_a_correction_takes_the_place_of_another(tmp_path, folder):
    first, second = drawn(1), drawn(2)

    def prepare(label_dir):
        label(label_dir, folder, ["a"])
        write_corrected(label_dir, [("a", first)])

    for label_dir, done in each_kill(tmp_path, prepare, lambda label_dir: write_corrected(label_dir, [("a", second)])):
        now, kept = read_labels(label_dir / "a.png"), [read_labels(path) for path in kept_labels(label_dir, "a")]
        assert np.array_equal(now, second) or (np.array_equal(now, first) and not done)
        assert read_corrected(label_dir) == ["a"]
        assert any(np.array_equal(first, one) for one in [now, *kept])


@pytest.mark.parametrize("old", [False, True])
def test_killed_while_the_networks_own_comes_back(tmp_path, folder, old):
    mine = drawn(1)

    def prepare(label_dir):
        if old:  # as version 0.5 left it: no PNG says whose it is
            write_labels(network_label(label_dir, "a"), drawn(5))
            write_labels(label_dir / "a.png", mine)
            (label_dir / "corrected.txt").write_text("a\n")
        else:
            write_labels(label_dir / "a.png", drawn(5), {"made_by": "network"})
            write_corrected(label_dir, [("a", mine)])

    for label_dir, done in each_kill(tmp_path, prepare, lambda label_dir: restore_network_label(label_dir, "a")):
        now, kept = read_labels(label_dir / "a.png"), [read_labels(path) for path in kept_labels(label_dir, "a")]
        assert any(np.array_equal(mine, one) for one in [now, *kept])
        assert read_corrected(label_dir) == (["a"] if np.array_equal(now, mine) else [])
        assert not done or np.array_equal(now, drawn(5))


def test_killed_in_the_middle_of_an_import(tmp_path, folder):
    exported(tmp_path / "export.zip", folder, "ab")

    def act(label_dir):
        import_labels(tmp_path / "export.zip", label_dir, folder)

    for label_dir, _ in each_kill(tmp_path, lambda label_dir: label(label_dir, folder, list("ab")), act):
        theirs = [name for i, name in enumerate("ab") if pixels_are(label_dir, name, drawn(i))]
        assert read_corrected(label_dir) == theirs
        act(label_dir)  # given once more
        assert all(is_persons(label_dir, name, drawn(i)) for i, name in enumerate("ab"))
        assert not kept_labels(label_dir, "a")  # the same label again is no other


def pixels_are(label_dir, name, labels):
    return np.array_equal(read_labels(label_dir / f"{name}.png"), labels)


def test_killed_while_labelling(tmp_path, folder):
    label(tmp_path / "whole", folder, list("ab"))
    whole = {name: (tmp_path / "whole" / f"{name}.png").read_bytes() for name in "ab"}
    table = (tmp_path / "whole/scores.csv").read_bytes()
    for label_dir, _ in each_kill(
        tmp_path,
        lambda label_dir: label_dir.mkdir(parents=True),
        lambda label_dir: label(label_dir, folder, list("ab")),
    ):
        label(label_dir, folder, list("ab"))
        assert {name: (label_dir / f"{name}.png").read_bytes() for name in "ab"} == whole
        assert (label_dir / "scores.csv").read_bytes() == table
        assert not [*label_dir.rglob(".tmp-*")]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EIO])
def test_without_locks_nothing_is_written(tmp_path, labels, code):
    write_corrected(labels, [("b", drawn(3))])
    exported(tmp_path / "export.zip", make_folder(tmp_path / "again"), "a")
    Judgements(labels).set("a", "accepted")
    before = {path: path.read_bytes() for path in labels.rglob("*") if path.is_file()}
    acts = [
        lambda: write_corrected(labels, [("a", drawn(1))]),
        lambda: restore_network_label(labels, "b"),
        lambda: Judgements(labels).set("a", "rejected"),
        lambda: import_labels(tmp_path / "export.zip", labels, VOCFolder(tmp_path / "again")),
    ]
    for act in acts:
        sentence = pytest.raises(OSError, match=r"cannot be locked .* nothing was written: .* move it")
        with patch("fcntl.flock", side_effect=OSError(code, os.strerror(code))), sentence:
            act()
        assert {path: path.read_bytes() for path in labels.rglob("*") if path.is_file()} == before


# 3. Two explorers


def test_the_second_of_two_who_correct_one_label_is_refused(labels):
    shown = label_version(labels, "a")
    assert shown and label_version(labels, "none") == ""
    write_corrected(labels, [("a", drawn(1))], seen={"a": shown})
    with pytest.raises(LabelChanged, match=r"a in .* changed since it was shown") as refused:
        write_corrected(labels, [("b", drawn(2)), ("a", drawn(2))], seen={"a": shown, "b": label_version(labels, "b")})
    assert refused.value.names == ["a"] and read_corrected(labels) == ["a"]
    with pytest.raises(LabelChanged):
        restore_network_label(labels, "a", seen=shown)
    assert is_persons(labels, "a", drawn(1))


def test_two_processes_save_one_label_and_only_one_is_told_so(tmp_path, labels):
    shown, barrier, told = label_version(labels, "a"), fork.Barrier(4), fork.Queue()

    def save(number):
        barrier.wait()
        try:
            write_corrected(labels, [("a", drawn(number))], seen=shown)
            told.put(number)
        except LabelChanged:
            told.put(None)

    processes = [in_process(fork, save, number) for number in range(4)]
    answers = [told.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    (winner,) = [number for number in answers if number is not None]
    assert is_persons(labels, "a", drawn(winner))


def test_a_verdict_on_a_label_that_is_no_longer_shown_is_refused(labels):
    judgements, shown = Judgements(labels), label_version(labels, "a")
    write_corrected(labels, [("a", drawn(1))])
    with pytest.raises(LabelChanged):
        judgements.set(["a", "b"], "rejected", seen={"a": shown, "b": label_version(labels, "b")})
    assert Judgements(labels).rows == {} and usable_labels(labels, ["a"], [], "accepted") == ["a"]


def test_undo_changes_only_what_this_explorer_wrote(labels):
    one, other = Judgements(labels), Judgements(labels)
    one.update({name: {"verdict": "accepted"} for name in "ab"})
    mine = dict(one.rows)
    other.set("a", "rejected", "the border is wrong")
    undo = {name: {"verdict": ""} for name in "ab"}
    assert one.update(undo, expected=mine) == ["a"]
    assert (one.verdict("a"), one.note("a"), one.verdict("b")) == ("rejected", "the border is wrong", "")
    assert one.update({"c": {"verdict": "accepted"}}, expected={"c": {}}) == []


# A verdict is of one label


@pytest.mark.parametrize("verdict", ["accepted", "rejected"])
def test_a_verdict_is_not_inherited(tmp_path, folder, labels, verdict):
    Judgements(labels).set(["a", "b", "c"], verdict)
    write_corrected(labels, [("a", drawn(1))])
    replace_photo(folder, "b", SIZE)
    label(labels, folder)
    assert [Judgements(labels).verdict(name) for name in "abc"] == ["", "", verdict]
    expected = {"accepted": ["a", "c"], "rejected": ["a"]}[verdict]
    assert usable_labels(labels, list("abc"), [], "accepted") == expected
    restore_network_label(labels, "a")  # the very label that was judged
    assert Judgements(labels).verdict("a") == verdict


def test_verdicts_of_an_earlier_version_are_of_the_label_that_was_there(labels):
    (labels / "judgements.csv").write_text("name,verdict,note,time\na,rejected,ragged,1\nb,accepted,,1\n")
    assert Judgements(labels).verdict("a") == "rejected"
    write_corrected(labels, [("a", drawn(1))])
    judgements = Judgements(labels)
    assert (judgements.verdict("a"), judgements.note("a"), judgements.verdict("b")) == ("", "ragged", "accepted")
    assert usable_labels(labels, ["a", "b"], [], "accepted") == ["a", "b"]


# What a person made is kept


def test_every_label_of_a_person_is_kept(tmp_path, folder, labels):
    versions = [drawn(number) for number in range(5)]
    write_corrected(labels, [("a", versions[0])])
    write_corrected(labels, [("a", versions[1])])  # another person
    restore_network_label(labels, "a")
    write_corrected(labels, [("a", versions[2])])
    write_corrected(labels, [("a", versions[1])])  # as one was before
    items = [Labelled("a", versions[3], folder.image_path("a"), "a.jpg")]
    WRITERS["cvat"](tmp_path / "import.zip", iter(items), folder.classes)
    import_labels(tmp_path / "import.zip", labels, folder)
    kept = [read_labels(path) for path in kept_labels(labels, "a")]
    assert [pixel_digest(one) for one in kept] == [pixel_digest(versions[number]) for number in (0, 1, 2, 1)]
    assert is_persons(labels, "a", versions[3]) and network_label(labels, "a").is_file()
    assert kept_labels(labels, "b") == []
    assert set(read_corrected(labels)) == {"a"}


def test_corrections_taken_along_never_replace_a_persons(labels):
    write_corrected(labels, [("a", drawn(1))])
    assert write_corrected(labels, [("a", drawn(2)), ("b", drawn(2))], over_persons=False) == ["b"]
    assert is_persons(labels, "a", drawn(1)) and is_persons(labels, "b", drawn(2))


# Caches, old folders and other programs


def test_lists_are_made_anew_from_the_labels(folder, labels):
    write_corrected(labels, [("a", drawn(1)), ("b", drawn(2))])
    scores, listed = (labels / "scores.csv").read_bytes(), (labels / "corrected.txt").read_bytes()
    for spoil in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])):
        spoil(labels / "scores.csv")
        spoil(labels / "corrected.txt")
        assert read_corrected(labels) == ["a", "b"] and len(read_scores(labels)) == len(folder.names)
        label(labels, folder, busy=lambda: pytest.fail("a label was made again"))
        assert ((labels / "scores.csv").read_bytes(), (labels / "corrected.txt").read_bytes()) == (scores, listed)


def test_a_folder_of_an_earlier_version(tmp_path, folder):
    label_dir = tmp_path / "labels"
    label(label_dir, folder)
    own = {name: read_labels(label_dir / f"{name}.png") for name in folder.names}
    for name, one in own.items():  # as version 0.5 left it
        write_labels(label_dir / f"{name}.png", drawn(1) if name == "a" else one)
    write_labels(network_label(label_dir, "a"), own["a"])
    (label_dir / "corrected.txt").write_text("a\n")
    before = {name: (label_dir / f"{name}.png").read_bytes() for name in folder.names}

    label(label_dir, folder, busy=lambda: pytest.fail("a label was made again"))
    assert {name: (label_dir / f"{name}.png").read_bytes() for name in folder.names} == before
    assert read_corrected(label_dir) == ["a"] and label_maker(label_dir, "b").made_by == "unknown"
    write_corrected(label_dir, [("a", drawn(2)), ("b", drawn(2))])
    assert [pixel_digest(read_labels(path)) for path in kept_labels(label_dir, "a")] == [pixel_digest(drawn(1))]
    for name in "ab":
        restore_network_label(label_dir, name)
        assert pixels_are(label_dir, name, own[name])
    assert read_corrected(label_dir) == []


@pytest.mark.parametrize("keeps_chunk", [False, True])
def test_a_label_that_another_program_put_there_is_nobodys_and_stays(folder, labels, capsys, keeps_chunk):
    before = read_labels(labels / "a.png")
    with Image.open(labels / "a.png") as image:
        image.putpixel((3, 3), (image.getpixel((3, 3)) + 1) % 3)
        chunk = [text for text in image.info.items() if text[0] == "swsss"]
        info = PngInfo()
        for key, value in chunk * keeps_chunk:
            info.add_text(key, value)
        image.save(labels / "a.png", pnginfo=info)
    drawn_there = read_labels(labels / "a.png")
    assert label_maker(labels, "a").made_by == "unknown" and read_corrected(labels) == []
    (labels / "scores.csv").unlink()
    if keeps_chunk:
        replace_photo(folder, "a", SIZE)  # so that the label would be made anew
    label(labels, folder)
    assert "1 labels were put there by another program, their maker is unknown: a. They stay" in capsys.readouterr().out
    assert pixels_are(labels, "a", drawn_there) and read_corrected(labels) == []
    assert network_label(labels, "a").is_file()
    write_corrected(labels, [("a", drawn(1))])
    assert any(np.array_equal(read_labels(path), drawn_there) for path in kept_labels(labels, "a"))
    if not keeps_chunk:
        restore_network_label(labels, "a")
        assert pixels_are(labels, "a", before)


def test_an_imported_folder_is_gone_on_with_by_a_network(tmp_path, folder):
    label_dir = tmp_path / "labels"
    exported(tmp_path / "export.zip", folder, "ab")
    import_labels(tmp_path / "export.zip", label_dir, folder)
    label(label_dir, folder)
    assert read_json(label_dir / "labels.json")["hybrid"] == "c0ffee"
    assert read_corrected(label_dir) == ["a", "b"] and len(read_scores(label_dir)) == len(folder.names)
    with pytest.raises(
        ValueError, match=r"made another way: hybrid .* Pass another folder.$"
    ):  # no advice to delete it
        made_by = {"network": "hybrid", "hybrid": "other"}
        write_pseudo_labels(label_dir, folder, folder.names, Small(), made_by, scales=(1.0,), flip=False)


# 4. Photos that were replaced


def replace_photo(folder, name, size):
    "Another photo in the place of one."
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    path = folder.image_path(name)
    before = path.stat().st_size
    for quality in (75, 60, 40, 20, 10):
        Image.fromarray(pixels).save(path, quality=quality)
        if (gap := before - path.stat().st_size) > 1:
            break
    if size == SIZE:  # of the very same size, as a file too
        with open(path, "ab") as file:
            file.write(b"\0" * (gap - 2) + b"\xff\xd9")
        assert path.stat().st_size == before


@pytest.mark.parametrize("new_photos", [False, True])
@pytest.mark.parametrize("size", [SIZE, (16, 20)])
def test_a_replaced_photo_is_noticed(tmp_path, folder, size, new_photos, capsys):
    photos, label_dir = folder, tmp_path / "labels"
    if new_photos:
        photos = PhotoFolder(folder.root / "JPEGImages", folder.classes)
    label(label_dir, photos)
    write_corrected(label_dir, [("a", drawn(1))], folder=photos)
    others = {name: (label_dir / f"{name}.png").read_bytes() for name in "cdefgh"}
    for name in "ab":
        replace_photo(folder, name, size)
    assert changed_photos(label_dir, photos, photos.names) == ["a", "b"]
    with pytest.raises(ValueError, match=r"^a, b: photos replaced since their labels .* make_labels"):
        export_labels(label_dir, photos, tmp_path / "out.zip", "voc")
    assert not (tmp_path / "out.zip").exists()

    before, seen = read_labels(label_dir / "b.png"), []
    photos = PhotoFolder(photos.root, folder.classes) if new_photos else VOCFolder(folder.root)
    capsys.readouterr()
    label(label_dir, photos, busy=lambda: seen.append(1))
    assert len(seen) == 2  # b's label, and the network's own of a
    assert "1 labels of a person are of photos that were replaced since, and stay: a." in capsys.readouterr().out
    now = read_labels(label_dir / "b.png")
    assert now.shape == size and not np.array_equal(now, before) and is_persons(label_dir, "a", drawn(1))
    assert {name: (label_dir / f"{name}.png").read_bytes() for name in "cdefgh"} == others
    assert changed_photos(label_dir, photos, photos.names) == ["a"]
    with pytest.raises(ValueError, match=r"^a: photos replaced"):
        export_labels(label_dir, photos, tmp_path / "out.zip", "voc")

    if size == SIZE:  # the remedy
        write_corrected(label_dir, [("a", drawn(1))], seen=label_version(label_dir, "a"), folder=photos)
    else:
        restore_network_label(label_dir, "a")
        assert read_labels(label_dir / "a.png").shape == size
    assert export_labels(label_dir, photos, tmp_path / "out.zip", "voc") == len(photos.names)


def test_a_photo_of_another_size_is_noticed_in_folders_of_earlier_versions(tmp_path, folder, capsys):
    label_dir = tmp_path / "labels"
    photos = PhotoFolder(folder.root / "JPEGImages", folder.classes)
    label(label_dir, photos)
    for path in label_dir.glob("*.png"):
        write_labels(path, read_labels(path))  # nothing in it that says what it is
    replace_photo(folder, "b", (16, 20))
    with pytest.raises(ValueError, match=r"^b: photos replaced"):
        export_labels(label_dir, photos, tmp_path / "out.zip", "voc")
    label(label_dir, photos)
    assert read_labels(label_dir / "b.png").shape == (16, 20) and kept_labels(label_dir, "b")
    assert "unknown: b. They are in kept/ now" in capsys.readouterr().out
    assert export_labels(label_dir, photos, tmp_path / "out.zip", "voc") == len(photos.names)


def test_a_photo_replaced_while_it_is_labelled(tmp_path, folder):
    label_dir, calls = tmp_path / "labels", []

    def replace():
        if not calls:
            replace_photo(folder, "a", SIZE)
        calls.append(1)

    label(label_dir, folder, ["a", "b"], busy=replace)  # by now the network has the old one
    assert changed_photos(label_dir, folder, ["a", "b"]) == ["a"]
    label(label_dir, folder, ["a", "b"])
    assert changed_photos(label_dir, folder, ["a", "b"]) == []


def test_labels_of_other_data_are_still_refused(tmp_path, folder, labels):
    other = make_folder(tmp_path / "other")
    for name in other.names:
        replace_photo(other, name, (20, 20))
    with pytest.raises(ValueError, match="made another way: data"):
        label(labels, VOCFolder(other.root))


def test_export_of_corrected_labels_never_holds_a_networks(tmp_path, folder, labels):
    write_corrected(labels, [("a", drawn(1)), ("b", drawn(2)), ("c", drawn(3))])
    plain = read_labels

    def meanwhile(path):
        if Path(path).name == "a.png":  # the first is read, and others are at work
            restore_network_label(labels, "b")
            write_corrected(labels, [("c", drawn(4))])
        return plain(path)

    with patch("swsss.runs.export.read_labels", meanwhile):
        assert export_labels(labels, folder, tmp_path / "out.zip", "voc", "corrected") == 2
    with open_export(tmp_path / "out.zip", folder.classes) as found:
        found = {name: read() for name, read in found.items()}
    assert found.keys() == {"a", "c"} and np.array_equal(found["c"], drawn(4))


# 5. What a killed process had begun to write


def test_what_killed_processes_began_is_removed_and_never_listed(tmp_path, folder, labels):
    def dies():
        write_whole(
            labels / "stray.png", lambda path: (path.write_bytes(b"half"), os.kill(os.getpid(), signal.SIGKILL))
        )

    def dies_while_exporting():
        with patch("swsss.photos.formats._card", lambda classes: os.kill(os.getpid(), signal.SIGKILL)):
            export_labels(labels, folder, tmp_path / "out/set", "datasets")

    for act in (dies, dies_while_exporting):
        process = in_process(fork, act)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    (left,), (beside,) = labels.glob(".tmp-*"), (tmp_path / "out").glob(".tmp-*")
    living = temporary_path(labels / "y.png")
    living.write_bytes(b"half")
    assert not [name for name in read_scores(labels)["name"] if "tmp" in name]
    assert label_version(labels, "stray") == "" and len(usable_labels(labels, [*folder.names, "stray"], [])) == len(
        folder.names
    )

    label(labels, folder)
    assert not left.exists() and living.exists() and beside.is_dir()
    export_labels(labels, folder, tmp_path / "out/labels.zip", "voc")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.zip"]
    os.utime(living, (0, 0))
    remove_leftovers(labels)
    assert living.exists()  # whoever writes it lives


# All together


def test_random_kills(tmp_path, folder):
    "Corrections and imports of one process, labelling of another, both killed at any moment."
    rng, label_dir, saved = random.Random(3), tmp_path / "labels", {}
    exported(tmp_path / "export.zip", folder, folder.names)
    for _ in range(3 * TRIES):
        labelling = in_process(forkserver, label_slowly, folder.root, label_dir)
        importing = in_process(forkserver, import_all, tmp_path / "export.zip", folder.root, label_dir)
        for process in (importing, labelling):
            process.join(rng.uniform(0, 0.4))
            process.kill()
            process.join()
        if importing.exitcode == 0:
            saved = {name: drawn(i) for i, name in enumerate(folder.names)}
        theirs = {name for i, name in enumerate(folder.names) if there(label_dir, name, drawn(i))}
        assert set(read_corrected(label_dir)) == theirs >= saved.keys()
    label(label_dir, folder)
    assert set(read_corrected(label_dir)) >= saved.keys()


def there(label_dir, name, labels):
    return (label_dir / f"{name}.png").is_file() and pixels_are(label_dir, name, labels)


def test_stage_2_takes_what_is_a_persons_by_its_own_word(tmp_path, folder, labels):
    write_corrected(labels, [("e", drawn(1)), ("f", drawn(2))])
    (labels / "corrected.txt").unlink()
    strong = folder.listed("train")
    assert stage2_folder(folder, labels, strong, "corrected")[1] == [*strong, "e", "f"]
    write_json(labels / "labels.json", read_json(labels / "labels.json"))
    with FileLock(labels / ".labels.lock"):  # whoever only reads waits for nobody
        assert read_corrected(labels) == ["e", "f"]
