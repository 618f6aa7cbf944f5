"COCO's JSON from anywhere: nothing that nobody drew, no crash, one sentence.  FUZZ_CASES=5000 for more cases."

import os

import numpy as np
import pytest
from data_folder import CLASSES, SIZE, make_folder
from foreign import Reader, mutations, write
from hypothesis import HealthCheck, given, settings
from pycocotools import mask as coco_rle
from run_notebook_command import run_notebook_command

from swsss.photos.demo import draw_demo
from swsss.photos.files import write_json
from swsss.photos.folder import VOCFolder
from swsss.photos.formats import Labelled, write_coco
from swsss.photos.images import read_labels, write_labels
from swsss.runs.label_folder import import_labels, read_corrected

HEIGHT, WIDTH = SIZE
SQUARE = [2, 2, 10, 2, 10, 9, 2, 9]
CATEGORIES = [{"id": 5, "name": "disc"}, {"id": 7, "name": "square"}]
NAMES = "abcdefghxyz"


def square_mask(k=1):
    mask = np.zeros(SIZE, np.uint8)
    mask[2:9, 2:10] = k
    return mask


def one(number, image_id, segmentation=(SQUARE,), **more):
    segmentation = [*segmentation] if isinstance(segmentation, tuple) else segmentation
    return {"id": number, "image_id": image_id, "category_id": 5, "segmentation": segmentation, **more}


def coco(annotations, names=NAMES, **more):
    images = [{"id": k, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT} for k, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES, **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("coco") / "data")


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.stop()


def test_a_project_half_done_invents_no_background(folder, tmp_path):
    "Nor does it replace a label that was drawn before."
    drawn = square_mask(2)
    write_labels(tmp_path / "labels/h.png", drawn)
    write_json(tmp_path / "labels/labels.json", {"imported": True})
    file = write(tmp_path / "half.json", coco([one(1, 0), one(2, 1)]))
    imported, left_out = import_labels(file, tmp_path / "labels", folder)
    assert imported == ["a", "b"] == read_corrected(tmp_path / "labels")
    assert left_out == [
        "9 of 11 photos have no annotation and were left out: pass -p empty_is_background True if they show background"
    ]
    assert np.array_equal(read_labels(tmp_path / "labels/a.png"), square_mask())
    assert np.array_equal(read_labels(tmp_path / "labels/h.png"), drawn)
    assert sorted(path.stem for path in (tmp_path / "labels").glob("*.png")) == ["a", "b", "h"]
    imported, left_out = import_labels(file, tmp_path / "labels", folder, empty_is_background=True)
    assert sorted(imported) == sorted(NAMES) and left_out == []
    assert not read_labels(tmp_path / "labels/h.png").any()


def test_nothing_annotated_at_all_is_said(folder, tmp_path):
    with pytest.raises(ValueError, match=r"none\.json holds no label to take: 11 of 11 photos have no annotation"):
        import_labels(write(tmp_path / "none.json", coco([])), tmp_path / "labels", folder)
    assert not (tmp_path / "labels").exists()


def test_background_of_our_own_file_comes_back(folder, tmp_path):
    "Also of files written before today: they are known by `info` and by the names in them."
    empty = np.zeros(SIZE, np.uint8)
    items = (Labelled(n, empty if n in "cd" else square_mask(), folder.image_path(n), f"{n}.jpg") for n in "abcd")
    write_coco(tmp_path / "own.json", items, folder.classes)
    imported, left_out = import_labels(tmp_path / "own.json", tmp_path / "labels", folder)
    assert imported == [*"abcd"] and left_out == []
    assert not read_labels(tmp_path / "labels/d.png").any()
    theirs = coco([one(1, 0)], info={"description": "swsss"})  # images that another tool added have no name of ours
    assert import_labels(write(tmp_path / "added.json", theirs), tmp_path / "more", folder)[0] == ["a"]


def test_the_verb_says_it_and_takes_the_parameter(folder, tmp_path):
    file = write(tmp_path / "half.json", coco([one(1, 0)]))
    how = {"labels": str(tmp_path / "labels"), "data": str(folder.root), "read": str(file)}
    done, said = run_notebook_command("export_labels", tmp_path / "1.ipynb", **how)
    assert done and "1 labels of" in said and "10 of 11 photos have no annotation and were left out: pass -p" in said
    done, said = run_notebook_command("export_labels", tmp_path / "3.ipynb", **how, empty_is_background="false")
    assert not done and "empty_is_background='false': it can be True or False" in said
    done, said = run_notebook_command("export_labels", tmp_path / "2.ipynb", **how, empty_is_background=True)
    assert done and "11 labels of" in said and "left out" not in said, said


def test_making_labels_says_it_too(tmp_path):
    "A project half done, read back beside the network's labels: these stay where nobody drew."
    demo = VOCFolder(draw_demo(tmp_path / "demo", strong=3, weak=3, val=1))
    how = {"runs": str(tmp_path / "runs"), "device": "cpu", "threads": 1}
    small = {"recipe": "demo", "split": 3, "iterations": 1, "channels": 16, "crop": 32, "num_strong": 2, "num_weak": 2}
    how_to_learn = how | small | {"workers": 0, "data": str(demo.root), "name": "x"}
    done, said = run_notebook_command("train_pct", tmp_path / "1.ipynb", **how_to_learn)
    assert done, said
    names = demo.listed("trainaug")
    content = coco([one(1, 0)], names) | {"categories": [{"id": 5, "name": demo.classes[1]}]}
    for image in content["images"]:
        image |= {"width": 64, "height": 64}
    file = write(tmp_path / "half.json", content)
    how |= {"run": "x", "scales": 1, "corrected": str(file)}
    done, said = run_notebook_command("make_labels", tmp_path / "2.ipynb", **how)
    assert done and "1 labels corrected elsewhere" in said and "5 of 6 photos have no annotation" in said, said
    labels = tmp_path / "runs/x/labels"
    assert read_corrected(labels) == names[:1] and (read_labels(labels / f"{names[0]}.png")[2:9, 2:10] > 0).all()
    done, said = run_notebook_command("make_labels", tmp_path / "3.ipynb", **how, empty_is_background=True)
    assert done and "6 labels corrected elsewhere" in said and sorted(read_corrected(labels)) == sorted(names), said


@pytest.mark.parametrize(
    ("annotations", "more", "says"),
    [
        ([one(1, "0")], {}, ["1 annotations have an image_id that is not listed, such as '0'", "begin 0, 1, 2"]),
        ([one(1, 0), one(2, 99)], {}, ["such as 99"]),
        ([one(1, True)], {}, ["such as True"]),
        ([{"id": 1, "category_id": 5, "segmentation": [SQUARE]}], {}, ["such as None"]),
        ([one(1, 0, category_id=6)], {}, ["a category_id that is not listed, such as 6"]),
        ([one(1, 0), one(1, 1)], {}, ["the id '1' in annotations is there twice"]),
        ([one(1, 0)], {"categories": [*CATEGORIES, CATEGORIES[0]]}, ["the id 5 in categories is there twice"]),
        ([one(1, 0)], {"images": coco([])["images"] + coco([], "q")["images"]}, ["the id 0 in images is there twice"]),
        ([one(1, 0)], {"images": coco([], "aa")["images"]}, ["'a.jpg'", "is there twice"]),
        ([one(1, 0, {"size": [*SIZE], "counts": [5, 9]})], {}, ["a", "do not add up to the 768 pixels"]),
        ([one(1, 0, {"size": [*SIZE], "counts": "5"})], {}, ["do not add up to the 768 pixels"]),
        ([one(1, 0, {"size": [*SIZE], "counts": [700, 100, -32]})], {}, ["a run length is -32"]),
        ([one(1, 0, {"size": [*SIZE], "counts": [0, 10**12]})], {}, ["a run length is 1000000000000"]),
        ([one(1, 0, {"size": [*SIZE], "counts": "oooo"})], {}, ["run lengths are damaged"]),
        ([one(1, 0, {"size": [*SIZE], "counts": "é\x00"})], {}, ["run lengths are damaged"]),
        ([one(1, 0, {"size": [*SIZE[::-1]], "counts": [768]})], {}, ["a mask of [32, 24]"]),
        ([one(1, 0, {"size": [*SIZE]})], {}, ["run lengths are a list or text, not None"]),
        ([one(1, 0, ([*SQUARE, 3],))], {}, ["an odd number of coordinates"]),
        ([one(1, 0, "5")], {}, ["its segmentation is 5, neither"]),
        ([one(1, 0)], {"images": [{"id": 0, "file_name": "a.jpg", "width": 1e9, "height": 1e9}]}, ["no image has"]),
        ([one(1, 0)], {"images": [{"id": 0, "file_name": "a.jpg"}]}, ["no image has None x None pixels"]),
        ([one(1, 0)], {"images": [{"id": 0, "width": WIDTH, "height": HEIGHT}]}, ["the image 0 has no file_name"]),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_sentence(folder, reader, tmp_path, annotations, more, says):
    file = write(tmp_path / "odd.json", coco(annotations) | more)
    reader.refuses(file, CLASSES, *says)
    with pytest.raises(ValueError, match=r"odd\.json"):
        import_labels(file, tmp_path / "labels", folder)
    assert not (tmp_path / "labels").exists()


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf"), 1e9, -1e9, 10**30, "2", True, [2]])
def test_no_coordinate_ends_the_process(reader, tmp_path, value):
    file = write(tmp_path / "far.json", coco([one(1, 0, ([*SQUARE[:-1], value],))]))
    reader.refuses(file, CLASSES, "a coordinate is")


def test_an_outline_longer_than_any_is_refused(reader, tmp_path):
    "Each point of it is kept by native code: 20,000 corners across 16,000 pixels are gigabytes."
    wide = [{"id": 0, "file_name": "a.jpg", "width": 16_000, "height": 1000}]
    file = write(tmp_path / "long.json", coco([one(1, 0, ([0, 0, 16_000, 1000] * 10_000,))]) | {"images": wide})
    reader.refuses(file, CLASSES, "pixels long")


@pytest.mark.parametrize("segmentation", ["missing", None, [], {}, [[]], [[3, 3]], [[3, 3, 9, 9]]])
def test_an_annotation_without_an_outline_is_counted(folder, tmp_path, segmentation):
    bare = one(2, 0, segmentation)
    alone = one(3, 1, segmentation)
    for annotation in (bare, alone) if segmentation == "missing" else ():
        del annotation["segmentation"]
    file = write(tmp_path / "bare.json", coco([one(1, 0), bare, alone], "ab"))
    imported, left_out = import_labels(file, tmp_path / "labels", folder)
    assert imported == ["a"] and np.array_equal(read_labels(tmp_path / "labels/a.png"), square_mask())
    assert left_out == [
        "1 of 2 photos has no annotation that can be drawn and was left out: b",
        "2 outlines are missing, empty or of fewer than three points and were left out, of a, b",
    ]
    assert import_labels(file, tmp_path / "again", folder, empty_is_background=True)[0] == ["a"]  # b is not empty


def test_an_outline_that_is_not_in_a_list_of_its_own(folder, tmp_path):
    file = write(tmp_path / "flat.json", coco([one(1, 0, SQUARE)], "a"))
    import_labels(file, tmp_path / "labels", folder)
    assert np.array_equal(read_labels(tmp_path / "labels/a.png"), square_mask())


def test_run_lengths_mean_what_pycocotools_means(folder, tmp_path):
    "Packed and plain, on noise, stripes and single colours."
    rng, y = np.random.default_rng(0), np.arange(HEIGHT)[:, None]
    masks = [rng.random(SIZE) < p for p in (0, 0.01, 0.5, 0.99, 1)]
    masks += [np.broadcast_to(y % 2 == 0, SIZE), np.broadcast_to(np.arange(WIDTH) < 9, SIZE)]
    annotations = []
    for k, mask in enumerate(masks):
        counts = coco_rle.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
        flat = mask.T.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=False))
        plain = np.diff([0, *starts, flat.size]).tolist()
        annotations += [one(2 * k, k, {"size": [*SIZE], "counts": counts if k % 2 else plain})]
    import_labels(write(tmp_path / "runs.json", coco(annotations)), tmp_path / "labels", folder, True)
    for name, mask in zip(NAMES, masks, strict=False):
        assert np.array_equal(read_labels(tmp_path / f"labels/{name}.png"), mask)


VALID = coco([one(1, 0), one(2, 1, {"size": [*SIZE], "counts": [5, 9, 754]}), one(3, 1, category_id=7)], "abc")
VALID["annotations"][0] |= {"bbox": [2, 2, 8, 7], "area": 56, "iscrowd": 0}
VALID["info"] = {"description": "x"}


@settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "300")),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=mutations(VALID))
def test_labels_or_one_sentence(reader, tmp_path, content):
    file = write(tmp_path / "mutated.json", content)
    if reader.read(file, CLASSES)[0] != "labels":
        reader.refuses(file, CLASSES)
