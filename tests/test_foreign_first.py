"First masks: a folder is made whole or not at all, goes on where it was killed, and bad files are one sentence."

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_folder import CLASSES, SIZE
from foreign import NASTY, Reader, fuzzed_little, mutations, write
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from run_notebook_command import ROOT, run_notebook_command

from swsss.photos.annotations import How
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels, write_labels
from swsss.photos.import_masks import import_masks
from swsss.photos.read_exports import open_export

SAMPLES = ROOT / "tests/samples"
CVAT = (SAMPLES / "cvat/annotations.xml").read_text(encoding="utf-8")
LABELME = json.loads((SAMPLES / "labelme/a.json").read_text(encoding="utf-8"))
MASKED = json.loads((SAMPLES / "labelme/b.json").read_text(encoding="utf-8")) | {"imageHeight": 24, "imageWidth": 32}


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.stop()


@fuzzed_little
@given(content=st.one_of(mutations(LABELME), mutations(MASKED)))
def test_labelme_gives_labels_or_one_sentence(reader, tmp_path, content):
    reader.reads_or_refuses(write(tmp_path / "mutated.json", content), CLASSES)


VALUES = list(re.finditer(r'="([^"]*)"', CVAT))
TEXTS = [str(one).translate({34: "", 60: "", 38: ""}) for one in NASTY]
TEXTS += ["9,9;9", "1e9,1;2,2;3,3", ";", "1, -5, 900", "200, 568", "0" * 5000, "9" * 5000]


@fuzzed_little
@given(which=st.lists(st.sampled_from(range(len(VALUES))), min_size=1, max_size=3), text=st.sampled_from(TEXTS))
def test_cvat_gives_labels_or_one_sentence(reader, tmp_path, which, text):
    content = CVAT
    for one in sorted({*which}, reverse=True):
        content = content[: VALUES[one].start(1)] + text + content[VALUES[one].end(1) :]
    file = tmp_path / "mutated.xml"
    file.write_bytes(content.encode("utf-8", "replace"))
    reader.reads_or_refuses(file, CLASSES)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "cannot be read"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "cannot be read"),
        ("<annotations><image", "cannot be read"),
        ("<annotations><track id='0' label='disc'/></annotations>", "tracks of a video"),
        (CVAT.replace('label="disc"', 'label="horse"'), "'horse' is not a class"),
    ],
)
def test_xml_that_is_refused(reader, tmp_path, content, says):
    file = tmp_path / "x.xml"
    file.write_text(content, encoding="utf-8")
    reader.refuses(file, CLASSES, says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0.1 0.1 0.9 0.1 0.5", "is not `class x y x y ...`"),
        ("0 nan 0.1 0.9 0.1 0.5 0.9", "is not `class x y x y ...`"),
        ("0 1e300 0.1 0.9 0.1 0.5 0.9", "a coordinate is 1e+300"),
        ("7 0.1 0.1 0.9 0.1 0.5 0.9", "class 7, and 2 are named"),
        ("-1 0.1 0.1 0.9 0.1 0.5 0.9", "is not `class x y x y ...`"),
    ],
)
def test_lines_of_yolo_that_are_refused(tmp_path, line, says):
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("disc\nsquare\n", encoding="utf-8")
    (tmp_path / "labels/a.txt").write_text(f"0 0.1 0.1 0.9 0.1 0.5 0.9\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(says)) as refused:
        open_export(tmp_path, tuple(CLASSES), size_of=lambda name: SIZE).__enter__()
    assert "a.txt" in str(refused.value) and "\n" not in str(refused.value)


def make_export(root, count=6, size=SIZE):
    "Photos in a folder and masks of them in another."
    for k in range(count):
        labels = np.full(size, k % 3, np.uint8)
        write_labels(root / f"masks/{k}.png", labels)
        (root / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(root / f"images/{k}.jpg")
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    return root


KILLED = """
import os, signal, sys
from swsss.photos import import_masks as room
real, written = room.write_labels, []
def write(path, labels):
    if len(written) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(real(path, labels))
room.write_labels = write
room.import_masks(sys.argv[1], "", sys.argv[2])
"""


def test_a_killed_import_goes_on_where_it_was(tmp_path):
    export, to = make_export(tmp_path / "in"), tmp_path / "new"
    done = subprocess.run([sys.executable, "-c", KILLED, export, to], check=False)
    assert done.returncode == -signal.SIGKILL and not to.exists()
    part = tmp_path / ".new.unfinished/SegmentationClass"
    before = {path.name: path.stat().st_mtime_ns for path in part.glob("*.png")}
    assert len(before) == 3
    made = import_masks(export, "", to)
    assert made.strong == [*map(str, range(6))] and not part.exists()
    after = {path.name: path.stat().st_mtime_ns for path in (to / "SegmentationClass").glob("*.png")}
    assert {name: after[name] for name in before} == before and len(after) == 6
    assert all((read_labels(to / f"SegmentationClass/{k}.png") == k % 3).all() for k in range(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "new"]


def test_what_has_changed_since_a_kill_is_made_anew(tmp_path):
    export, to = make_export(tmp_path / "in"), tmp_path / "new"
    subprocess.run([sys.executable, "-c", KILLED, export, to], check=False)
    write_labels(export / "masks/0.png", np.full(SIZE, 2, np.uint8))
    import_masks(export, "", to)
    assert (read_labels(to / "SegmentationClass/0.png") == 2).all()
    write_labels(export / "masks/0.png", np.full(SIZE, 1, np.uint8))
    with pytest.raises(FileExistsError, match="holds an import of other files"):
        import_masks(export, "", to)


def test_a_fault_leaves_nothing_behind_and_touches_nothing(tmp_path):
    export = make_export(tmp_path / "in")
    (export / "masks/3.png").write_bytes((export / "masks/3.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"masks/3\.png cannot be read"):
        import_masks(export, "", tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/work.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="holds other things"):
        import_masks(export, "", tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["work.txt"]


def test_where_no_hard_links_are_photos_are_copied_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("os.link", lambda *places: (_ for _ in ()).throw(OSError("another disk")))
    made = import_masks(make_export(tmp_path / "in"), "", tmp_path / "new")
    assert made.copied and "Its photos are copies" in made.told()
    theirs = tmp_path / "in/images/0.jpg"
    assert (tmp_path / "new/JPEGImages/0.jpg").read_bytes() == theirs.read_bytes()


def test_masks_of_another_size_are_left_out_and_numbers_need_names(tmp_path):
    export = make_export(tmp_path / "in")
    write_labels(export / "masks/0.png", np.ones((9, 9), np.uint8))
    made = import_masks(export, "", tmp_path / "new")
    assert made.left_out == ["1 of 6 labels has another size than its photo and was left out: 0"]
    assert made.strong == [*"12345"] and made.neither == 1
    (export / "classes.txt").write_text("disc\nsquare\nbackground\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"'disc' first: pass -p first 0"):
        import_masks(export, "", tmp_path / "other")
    (export / "classes.txt").unlink()
    with pytest.raises(ValueError, match="names no class: pass -p classes FILE"):
        import_masks(export, "", tmp_path / "other")
    made = import_masks(export, "", tmp_path / "other", How(listed=("disc", "square", "void"), first=0))
    assert tuple(made.classes) == tuple(CLASSES)
    found = [read_labels(tmp_path / f"other/SegmentationClass/{k}.png")[0, 0] for k in (3, 1, 2)]
    assert found == [1, 2, 255]


@pytest.mark.parametrize("layout", ["{}.png", "{}_mask.png", "masks/{}.png", "annotations/{}_mask.png"])
def test_masks_among_their_photos(tmp_path, layout):
    "A picture that is a mask is no photo, and one without a mask is none to learn from."
    for name in "xyz":
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / f"{name}.jpg")
    for name in "xy":
        (tmp_path / "in").mkdir(exist_ok=True)
        write_labels(tmp_path / "in" / layout.format(name), np.full(SIZE, 2, np.uint8))
    for name in "xyz":
        (tmp_path / f"{name}.jpg").rename(tmp_path / f"in/{name}.jpg")
    (tmp_path / "in/classes.txt").write_text("background\ndisc\nsquare\n", encoding="utf-8")
    (tmp_path / "in/tags.csv").write_text("image,tags\nz,disc\n", encoding="utf-8")
    made = import_masks(tmp_path / "in", "", tmp_path / "new")
    assert (made.strong, made.weak, made.neither, made.left_out) == (["x", "y"], ["z"], 0, [])
    assert (VOCFolder(tmp_path / "new").labels("x") == 2).all()
    with open_export(tmp_path / "in", tuple(CLASSES), ["x", "y", "z"]) as labels:
        assert sorted(labels) == ["x", "y"]


def test_a_file_of_boxes_alone_gives_tags_and_other_names_are_said(tmp_path):
    content = json.loads((SAMPLES / "coco/annotations/instances_train.json").read_text(encoding="utf-8"))
    file = write(tmp_path / "x.json", content)
    (tmp_path / "photos").mkdir()
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "photos/IMG_1.jpg")
    with pytest.raises(
        ValueError, match=r"x\.json holds no label named as a photo here, such as IMG_1; it calls its pho"
    ):
        import_masks(tmp_path / "photos", file, tmp_path / "new")
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    made = import_masks(SAMPLES / "photos", write(file, content), tmp_path / "new")
    assert (made.strong, made.weak, made.neither) == ([], ["a", "b"], 1)
    with pytest.raises(ValueError, match="neither COCO's"):
        import_masks(SAMPLES / "photos", write(file, content["annotations"]), tmp_path / "other")


def test_boxes_as_tags(tmp_path):
    "Where boxes are around things and no outlines of them, only their names are learned from."
    (tmp_path / "boxes.xml").write_text(
        re.sub(r"<(polygon|mask)([^>]*)points=[^>]*>", r'<box\2xtl="1" ytl="1" xbr="9" ybr="9">', CVAT).replace(
            "</polygon>", "</box>"
        ),
        encoding="utf-8",
    )
    drawn = import_masks(SAMPLES / "photos", tmp_path / "boxes.xml", tmp_path / "masks")
    assert drawn.strong == ["a", "b"]
    tags = import_masks(SAMPLES / "photos", tmp_path / "boxes.xml", tmp_path / "tags", How(boxes="tags"))
    assert (tags.strong, tags.weak) == (["b"], ["a"])
    folder = VOCFolder(tmp_path / "tags")
    assert folder.tags("a").tolist() == [True, True, True]


def test_the_notebook_says_what_to_do_next(tmp_path):
    how = {"photos": str(SAMPLES / "photos"), "annotations": str(SAMPLES / "label_studio.json")}
    done, said = run_notebook_command("import_masks", tmp_path / "1.ipynb", **how, to=str(tmp_path / "new"))
    assert done, said
    assert "Label Studio, 2 classes beside background: disc, square" in said and "2 photos with a mask" in said
    assert f"Next: papermill --log-output nbs/train_pct.ipynb runs/NAME.ipynb -p data {tmp_path / 'new'}" in said
    assert Path(tmp_path / "new/JPEGImages/a.png").is_file()
    assert "image/png" in (tmp_path / "1.ipynb").read_text(encoding="utf-8")  # masks over their photos
    done, said = run_notebook_command("import_masks", tmp_path / "2.ipynb", photos=how["photos"])
    assert not done and "to='': pass the path of a folder" in said
