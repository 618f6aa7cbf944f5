"""Folders as people bring them: what each file is, is said; what is not used is counted; one command mends a fault.

`samples/phone.heic` was written by pillow-heif 1.8.1 (libheif), turned by its `irot` box as phones turn photos.
"""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from data_folder import CLASSES, SIZE
from PIL import Image, features

from swsss.photos.check import FolderError
from swsss.photos.files import project_path
from swsss.photos.folder import VOCFolder, fit_masks, read_split, write_classes
from swsss.photos.images import IMAGE_SUFFIXES, photo_size, read_image, read_labels, write_labels
from swsss.photos.new_photos import PhotoFolder
from swsss.runs.command_line import main

NAMES = "abcdefghijkl"
HEIC = project_path("tests/samples/phone.heic")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def labels_of(number):
    labels = np.zeros(SIZE, np.uint8)
    labels[4:10, 4:10], labels[12:18, 12:18] = 1, 2 * (number % 2)
    return labels


def bring(root, photo="{}.jpg", mask="{}.png", masked=NAMES[:8], classes=True, tags="tags.csv"):
    "Twelve photos and some masks, at these places below `root`."
    rng, rows = np.random.default_rng(0), ["image,tags"]
    for number, name in enumerate(NAMES):
        path = root / photo.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
        if name in masked:
            write_labels(root / mask.format(name), labels_of(number))
        rows.append(f"{name},disc" + ";square" * (number % 2))
    if classes:
        (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    if tags:
        (root / tags).write_text("\n".join(rows), encoding="utf-8")
    return root


def remedy_of(text):
    return re.findall(r'python -c "(.+?)"', str(text))


def problems(root, **how):
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False, **how)
    return caught.value.problems


LAYOUTS = {
    "beside": ("{}.jpg", "{}.png"),
    "beside, with a word": ("{}.jpg", "{}_mask.png"),
    "PNG beside PNG": ("{}.png", "{}_mask.png"),
    "Roboflow": ("train/{}.jpg", "train/{}_mask.png"),
    "TIFF": ("{}.tif", "masks/{}.png"),
    "BMP": ("{}.BMP", "{}.png"),
    "images, masks": ("images/{}.jpg", "masks/{}.png"),
    "images, labels": ("images/{}.jpg", "labels/{}.png"),
    "ADE": ("images/training/{}.jpg", "annotations/training/{}.png"),
    "split above": ("training/images/{}.jpg", "training/masks/{}_label.png"),
    "labelme2voc": ("JPEGImages/{}.jpg", "SegmentationClassPNG/{}.png"),
    "SegmentationClassPNG": ("{}.jpg", "SegmentationClassPNG/{}.png"),
    "further down": ("steel/images/{}.jpg", "steel/annotations/{}.png"),
    "VOC further down": ("x/JPEGImages/{}.jpg", "x/SegmentationClass/{}.png"),
    "any names": ("scans/{}.jpg", "drawn/{}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_open_and_nothing_is_lost(tmp_path, layout):
    photo, mask = LAYOUTS[layout]
    top = tmp_path / "mine" / ("x" if layout.startswith("VOC") else "")
    photo, mask = (text.removeprefix("x/") for text in (photo, mask))
    folder = VOCFolder(bring(top, photo, mask) and tmp_path / "mine")
    lines = folder.check(progress=False)
    assert len(lines) == 1, lines
    assert sorted(folder.image_files) == list(NAMES) and sorted(folder.mask_files) == list(NAMES[:8])
    assert sorted(folder.listed("train") + folder.listed("val")) == list(NAMES[:8])
    assert set(folder.names) == set(NAMES) and read_split(folder, "all") == folder.listed("train")
    for number, name in enumerate(NAMES[:8]):
        assert (folder.labels(name) == labels_of(number)).all()
    assert folder.about().startswith("12 photos in ") and "; 8 masks " in folder.about()
    assert folder.about().endswith("tags of 12 from tags.csv; 3 classes of classes.txt.")


def test_a_flat_phone_folder_with_heic(tmp_path):
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    for name in "abcd":
        shutil.copy(HEIC, tmp_path / f"{name}.HEIC")
    size = photo_size(HEIC)
    for name in "abc":
        write_labels(tmp_path / f"{name}.png", np.tile([0, 1], (size[0], size[1] // 2)))
    (tmp_path / "a.MOV").touch()
    (tmp_path / "tags.csv").write_text("image;tags\n" + "".join(f"{n}.HEIC;cat\n" for n in "abcd"), encoding="utf-8")
    (tmp_path / "classes.txt").write_text("background\ncat\n", encoding="utf-8")
    folder = VOCFolder(tmp_path)
    lines = folder.check(progress=False)
    assert "Not used: 1 .mov" in lines and size == (64, 48)
    assert folder.image("d").shape == (64, 48, 3) and sorted(folder.mask_files) == list("abc")
    assert folder.image("d")[2, 2, 0] < 40 < 200 < folder.image("d")[2, 2, 1]  # the turn is applied, once
    assert folder.tags("d").all() and PhotoFolder(tmp_path, folder.classes).image("d").shape == (64, 48, 3)
    assert PhotoFolder(tmp_path, folder.classes).tags("d").all()
    (tmp_path / "d.HEIC").write_bytes(HEIC.read_bytes()[:-100])
    assert list(problems(tmp_path)) == ["image damaged"]


def test_without_its_decoder_heic_is_refused_with_the_command(tmp_path):
    code = f"""
import sys
sys.modules["pi_heif"] = None
from swsss.photos.check import REMEDIES, examine
from pathlib import Path
found = examine(Path({str(HEIC)!r}), "image")
print(found.kind, found.detail, REMEDIES[found.kind])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        done.stdout.startswith("image HEIC no decoder of HEIC is installed") and "pip install -U pi-heif" in done.stdout
    )


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(tmp_path):
    path = shutil.copy(project_path("tests/samples/plain.avif"), tmp_path / "x.avif")
    assert read_image(path).shape == (48, 64, 3)


def test_a_mask_whose_photo_cannot_be_read_is_no_photo(tmp_path):
    bring(tmp_path, masked="abc")
    for name in "xyz":
        write_labels(tmp_path / f"{name}.png", labels_of(1))
    (tmp_path / "x.dng").touch()
    folder = VOCFolder(tmp_path)
    assert sorted(folder.image_files) == list(NAMES)
    lines = folder.check(progress=False)
    assert "3 mask(s) with the name of no photo, left out" in lines
    assert "Not used: 1 .dng (save these as JPEG, TIFF or PNG to use them)" in lines


def test_what_is_not_used_is_counted_by_kind(tmp_path):
    bring(tmp_path)
    for file in ("old/x.jpg", "old/y.jpg", "clip.mov", "x.cr2", "notes.md", "Thumbs.db"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    (line,) = (line for line in VOCFolder(tmp_path).check(progress=False) if line.startswith("Not used"))
    assert {"2 photo(s)", "1 .mov"} <= set(line.removeprefix("Not used: ").split(", ")) and "1 .cr2 (save" in line


def test_folders_of_splits_say_what_is_evaluated_on(tmp_path):
    bring(tmp_path, "images/training/{}.jpg", "annotations/training/{}.png")
    for kind, suffix in (("images", "jpg"), ("annotations", "png")):
        (tmp_path / kind / "validation").mkdir()
        for name in "ab":
            file = f"{name}.{suffix}"
            (tmp_path / kind / "training" / file).rename(tmp_path / kind / "validation" / file)
    folder = VOCFolder(tmp_path)
    assert folder.listed("val") == ["a", "b"] and sorted(folder.listed("trainaug")) == list(NAMES[2:])
    assert (
        "Those to evaluate on lie in a folder of that name. 2 photo(s) are no measurement"
        in folder.check(progress=False)[0]
    )


def test_a_folder_a_class(tmp_path):
    for number, name in enumerate(NAMES):
        kind = ("rust", "dust", "good")[number % 3]
        bring(tmp_path / "bring")
        path = tmp_path / f"mine/{kind}/{number // 3}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / f"bring/{name}.jpg", path)
    folder = VOCFolder(tmp_path / "mine")
    assert folder.classes == ("background", "dust", "rust")
    assert folder.tags("rust_0").tolist() == [True, False, True] and folder.tags("good_1").tolist() == [
        True,
        False,
        False,
    ]
    (line,) = problems(tmp_path / "mine")["too few masks"]
    assert "Begin with the fewest that show every class: 0.jpg, 0.jpg" in line
    for kind, number in (("rust", 1), ("dust", 2)):
        for k in range(3):
            write_labels(tmp_path / f"mine/masks/{kind}/{k}.png", np.full(SIZE, number))
    (fault,) = problems(tmp_path / "mine")["classes not usable"]
    assert "in the order that the masks show" in fault and "['rust', 'dust']" in fault
    write_classes(tmp_path / "mine", ["rust", "dust"])
    (tmp_path / "mine/tags.csv").write_text("photo,class\ngood/0.jpg,rust\n", encoding="utf-8")
    assert VOCFolder(tmp_path / "mine").tags("good_0").tolist() == [True, True, False]  # by its path


TABLES = {
    "tags.csv": "image|tags\n" + "".join(f"{n}.jpg|disc{';square' * (i % 2)}\n" for i, n in enumerate(NAMES)),
    "_classes.csv": "filename,disc,square\n" + "".join(f"{n}.jpg,1,{i % 2}\n" for i, n in enumerate(NAMES)),
    "mine.csv": "file;label\n" + "".join(f"{n};disc\n" + f"{n};square\n" * (i % 2) for i, n in enumerate(NAMES)),
    "tags.json": json.dumps({f"{n}.jpg": ["disc", "square"][: 1 + i % 2] for i, n in enumerate(NAMES)}),
    "labels.json": json.dumps([{"image": n, "tags": ["disc", "square"][: 1 + i % 2]} for i, n in enumerate(NAMES)]),
    "metadata.jsonl": "".join(
        json.dumps({"file_name": f"{n}.jpg", "labels": ["disc", "square"][: 1 + i % 2]}) + "\n"
        for i, n in enumerate(NAMES)
    ),
}


@pytest.mark.parametrize("file", TABLES)
def test_tags_of_many_forms(tmp_path, file):
    bring(tmp_path, "images/{}.jpg", "masks/{}.png", tags="")
    (tmp_path / file).write_text(TABLES[file], encoding="utf-8")
    folder = VOCFolder(tmp_path)
    folder.check(progress=False)
    assert [folder.tags(name).tolist() for name in NAMES] == [[True, True, i % 2 == 1] for i in range(12)]
    assert f"tags of 12 from {file}" in folder.about()


LISTS = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndisc:9,9,9::\nsquare:8,8,8::\n",
    "_classes.csv": "Pixel Value, Class\n0, background\n1, disc\n2, square\n",
    "id2label.json": '{"0": "background", "1": "disc", "2": "square"}',
    "_annotations.coco.json": json.dumps(
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}]}
    ),
}


@pytest.mark.parametrize("file", LISTS)
def test_classes_of_other_tools(tmp_path, file):
    bring(tmp_path, "train/{}.jpg", "train/{}_mask.png", classes=False)
    (tmp_path / "train" / file).write_text(LISTS[file], encoding="utf-8")
    folder = VOCFolder(tmp_path)
    folder.check(progress=False)
    assert folder.classes == tuple(CLASSES) and f"classes of train/{file}" in folder.about()


def test_masks_off_by_a_pixel_take_one_command(tmp_path):
    bring(tmp_path, mask="masks/{}.png")
    whole = read_labels(tmp_path / "masks/a.png")
    write_labels(tmp_path / "masks/a.png", whole[:, 1:])
    with pytest.raises(FolderError) as refused:
        VOCFolder(tmp_path).check(progress=False)
    assert remedy_of(refused.value) == [f"from swsss.photos.folder import fit_masks; fit_masks(r'{tmp_path}')"]
    assert fit_masks(tmp_path) == ["a"]
    VOCFolder(tmp_path).check(progress=False)
    assert (VOCFolder(tmp_path).labels("a")[:, -1] == 255).all()


def test_masks_in_other_formats_and_colours_are_named(tmp_path):
    bring(tmp_path, "images/{}.jpg", "masks/{}.png")
    for name in NAMES[:8]:
        path = tmp_path / f"masks/{name}.png"
        Image.fromarray(read_labels(path)).save(path.with_suffix(".tif"))
        path.unlink()
    found = problems(tmp_path)
    assert set(found) == {"mask no PNG"} and len(found["mask no PNG"]) == 8
    with pytest.raises(FolderError) as refused:
        VOCFolder(tmp_path).check(progress=False)
    (code,) = remedy_of(refused.value)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    VOCFolder(tmp_path).check(progress=False)
    assert (VOCFolder(tmp_path).labels("b") == labels_of(1)).all()


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_classes_in_another_encoding_take_one_command(tmp_path, encoding):
    bring(tmp_path, classes=False, tags="")
    (tmp_path / "classes.txt").write_text("background\ndisc\nMünze\n", encoding=encoding)
    (fault,) = (line for line in problems(tmp_path)["classes not usable"])
    subprocess.run([sys.executable, "-c", remedy_of(fault)[0]], check=True, capture_output=True)
    assert VOCFolder(tmp_path).classes == ("background", "disc", "Münze")


def test_annotations_of_another_tool_are_named_with_the_command(tmp_path):
    bring(tmp_path, masked="")
    coco = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "instances.json").write_text(json.dumps(coco), encoding="utf-8")
    (line,) = problems(tmp_path)["too few masks"]
    assert "instances.json is COCO's" in line and f"swsss import {tmp_path} {tmp_path}/instances.json --to" in line


def test_the_usual_split_and_what_is_held_back(tmp_path):
    folder = VOCFolder(bring(tmp_path, masked=NAMES))
    assert folder.usual_split(92) == "all" and folder.usual_split(5) == "all"
    line = folder.check(progress=False)[-1]
    held = len(folder.listed("val"))
    assert (
        "Of 12 masks a tenth, 1, is held back to evaluate on" in line and f"{held} photo(s) are no measurement" in line
    )
    folder.write_lists(val=3)
    listed = VOCFolder(tmp_path)
    assert (len(listed.listed("train")), len(listed.listed("val"))) == (9, 3)
    assert (listed.usual_split(92), listed.usual_split(5)) == ("all", 5)


def test_check_lists_the_faults_of_split_and_folder_together(tmp_path, capsys):
    bring(tmp_path)
    (tmp_path / "l.jpg").write_bytes(b"")
    assert main(["check", str(tmp_path), "--split", "99"]) == 1
    said = capsys.readouterr().out
    assert "image empty (1)" in said and "split not usable (1)" in said and "split 99: 6 masks are left" in said
    assert "12 photos in the folder itself; 8 masks beside them" in said and "Traceback" not in said
    (tmp_path / "l.jpg").unlink()
    (tmp_path / "tags.csv").write_text((tmp_path / "tags.csv").read_text().replace("l,disc;square", "l,disk"))
    assert main(["check", str(tmp_path), "--split", "5"]) == 1
    assert main(["check", str(tmp_path / "nowhere")]) == 1


def test_a_fault_ends_in_its_own_sentences():
    "IPython, and with it papermill, shows the report and no traceback."
    assert FolderError("1 problem in X")._render_traceback_() == ["1 problem in X"]


def test_every_suffix_is_read_as_it_is_called(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    for suffix in (".png", ".tif", ".tiff", ".bmp", ".webp"):
        Image.fromarray(pixels).save(tmp_path / f"x{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
        assert suffix in IMAGE_SUFFIXES and (read_image(tmp_path / f"x{suffix}") == pixels).all()
