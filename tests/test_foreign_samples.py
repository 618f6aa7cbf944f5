"First masks from files that other tools wrote: equal to the tools' own masks, and the table of formats says so."

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from data_folder import CLASSES
from run_notebook_command import ROOT

from swsss.photos.annotations import How
from swsss.photos.folder import VOCFolder
from swsss.photos.images import VOC_CLASSES, read_labels
from swsss.photos.import_masks import import_masks
from swsss.photos.read_exports import open_export
from swsss.runs.label_folder import import_labels

SAMPLES = ROOT / "tests/samples"
EMPTY = "1 of 3 photos has no annotation and was left out"


class Sample(NamedTuple):
    "What comes of one of the samples."

    tool: str  # in the table
    what: str  # as which it is read, in the table
    place: str
    form: str
    masks: dict[str, str]  # photo -> the mask that the tool itself makes of it
    tags: dict[str, list[str]] = {}  # noqa: RUF012 (photos with tags alone)
    says: tuple[str, ...] = ()  # what is left out
    classes: tuple[str, ...] = tuple(CLASSES)
    needs: str = ""  # a library


both = {name: f"datumaro_{name}" for name in "ab"}
one = {"b": "mask_b"}
FOUND = [
    Sample("COCO", "outlines, run lengths; `bbox` alone is a tag", "coco", "COCO", both, says=(EMPTY,)),
    Sample("CVAT", "*for images*: polygon, box, ellipse, mask; `tag`", "cvat", "CVAT for images", both, says=(EMPTY,)),
    Sample("CVAT", "*Segmentation mask*, VOC: `labelmap.txt`", "voc", "masks (PNG)", one, says=("without a mask",)),
    Sample(
        "Label Studio",
        "JSON: brush, polygon, rectangle, ellipse; choices are tags",
        "label_studio.json",
        "Label Studio",
        both,
        {"c": ["disc"]},
        ("1 of 4 tasks is still open",),
    ),
    Sample("Label Studio", "its COCO", "label_studio_coco.json", "COCO", {"a": "datumaro_a"}),
    Sample("Label Studio", "its YOLO", "label_studio_yolo", "YOLO", {"a": "datumaro_a"}),
    Sample(
        "labelme",
        "JSON a photo: polygon, rectangle, circle, mask; flags are tags",
        "labelme",
        "labelme",
        {name: f"labelme_{name}" for name in "ab"},
        {"c": ["square"]},
        ("1 region is of a shape that is not drawn here",),
    ),
    Sample("Roboflow", "COCO Segmentation", "roboflow_coco", "COCO", both, says=(EMPTY,)),
    Sample("Roboflow", "masks `x_mask.png` with `_classes.csv`", "roboflow_masks", "masks (PNG)", {"b": "datumaro_b"}),
    Sample(
        "YOLO",
        "outlines; a box is a tag; `data.yaml`",
        "yolo",
        "YOLO",
        {"a": "datumaro_a"},
        {"b": ["square"]},
        (EMPTY,),
    ),
    Sample("ADE", "`annotations/**.png` with `classes.txt`", "ade", "masks (PNG)", {"b": "datumaro_b"}),
    Sample("CamVid and others", "masks in colours with a table", "colours", "masks (PNG)", one),
    Sample(
        "SBD", "`cls/*.mat` (`pip install scipy`)", "sbd", "SBD", {"b": "sbd_b"}, classes=VOC_CLASSES, needs="scipy"
    ),
]
HOW = {"sample": FOUND, "ids": [sample.place for sample in FOUND]}


@pytest.fixture(params=FOUND, ids=[sample.place for sample in FOUND])
def sample(request):
    if request.param.needs:
        pytest.importorskip(request.param.needs, reason=f"{request.param.needs} is not installed")
    return request.param


def expected(name):
    return read_labels(SAMPLES / f"expected/{name}.png")


def test_a_data_folder_of_each(sample, tmp_path):
    "Its masks are equal to the bit, and what has neither mask nor tag is counted, not learned from."
    made = import_masks(SAMPLES / "photos", SAMPLES / sample.place, tmp_path / "new")
    assert (made.form, tuple(made.classes)) == (sample.form, sample.classes)
    assert (made.strong, made.weak) == ([*sample.masks], [*sample.tags])
    assert made.neither == 3 - len(sample.masks) - len(sample.tags)
    folder = VOCFolder(tmp_path / "new")
    assert folder.classes == sample.classes and {*folder.image_files} == {*sample.masks, *sample.tags}
    for name, mask in sample.masks.items():
        assert np.array_equal(folder.labels(name), expected(mask)), name
        assert (tmp_path / f"new/JPEGImages/{name}.png").samefile(SAMPLES / f"photos/{name}.png")
    for name, tags in sample.tags.items():
        assert [folder.classes[k] for k in np.flatnonzero(folder.tags(name))[1:]] == tags
    assert len(made.left_out) == len(sample.says)
    assert all(said in left for said, left in zip(sample.says, made.left_out, strict=True)), made.left_out
    assert import_masks(SAMPLES / "photos", SAMPLES / sample.place, tmp_path / "new").before


@pytest.mark.parametrize("packed", [True, False])
def test_corrections_come_back_by_the_same_readers(sample, tmp_path, packed):
    "In an archive too."
    place = SAMPLES / sample.place
    if packed:
        root, base = (place, ".") if place.is_dir() else (place.parent, place.name)
        place = Path(shutil.make_archive(tmp_path / "packed", "zip", root, base))
    folder = flat_folder(tmp_path / "here", sample.classes)
    imported, _ = import_labels(place, tmp_path / "labels", folder)
    assert sorted(imported) == sorted(sample.masks)
    for name, mask in sample.masks.items():
        assert np.array_equal(read_labels(tmp_path / f"labels/{name}.png"), expected(mask)), name


def flat_folder(root, classes):
    "The photos of the samples as a data folder of its own."
    shutil.copytree(SAMPLES / "photos", root / "JPEGImages")
    (root / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    (root / "tags.csv").write_text("image,tags\na,\nb,\nc,\n", encoding="utf-8")
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/trainaug.txt").write_text("a\nb\nc\n", encoding="utf-8")
    return VOCFolder(root)


def test_parquet_brings_its_photos(tmp_path):
    "They are written out as they are; numbers without names are refused until a person names them."
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    file = SAMPLES / "datasets.parquet"
    with pytest.raises(ValueError, match=r"datasets\.parquet names no class: pass -p classes FILE"):
        import_masks(file, "", tmp_path / "new")
    made = import_masks(file, "", tmp_path / "new", How(listed=tuple(CLASSES)))
    assert (made.form, made.strong) == ("Parquet", ["a", "b"])
    folder = VOCFolder(tmp_path / "new")
    assert np.array_equal(folder.labels("a"), expected("mask_b")) and (folder.labels("b") == 1).all()
    for name in "ab":
        theirs = (SAMPLES / f"photos/{name}.png").read_bytes()
        assert (tmp_path / f"new-photos/{name}.png").read_bytes() == theirs


def table():
    "The table of formats, of the samples that pass."
    rows = [f"| {sample.tool} | {sample.what} |" for sample in FOUND]
    rows.append("| Hugging Face `datasets` | Parquet with photos and masks (`pip install pyarrow`); folders of ours |")
    return "\n".join(["| tool | read |", "| --- | --- |", *rows])


def test_the_table_of_formats_is_what_was_tried():
    "To make it anew: `cd tests && python -c 'import test_foreign_samples as t; print(t.table())'`."
    assert table() in (ROOT / "data/README.md").read_text(encoding="utf-8")
    with open_export(SAMPLES / "coco", tuple(CLASSES)) as labels:  # a folder is an export as well
        assert sorted(labels) == ["a", "b"]
