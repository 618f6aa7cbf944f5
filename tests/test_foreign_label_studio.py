"Label Studio's JSON as projects export it: open tasks, other tools' regions, predictions.  FUZZ_CASES=5000 for more."

import os

import numpy as np
import pytest
from data_folder import CLASSES, SIZE, make_folder
from foreign import Reader, mutations, write
from hypothesis import HealthCheck, given, settings

from swsss.photos.formats import Labelled, encode_brush, write_label_studio
from swsss.photos.images import read_labels
from swsss.runs.label_folder import import_labels

HEIGHT, WIDTH = SIZE


def boxed(top, left, bottom, right, k=1):
    mask = np.zeros(SIZE, np.uint8)
    mask[top:bottom, left:right] = k
    return mask


BRUSHED = boxed(2, 3, 9, 11)


def region(kind, value, labels=("disc",), **more):
    "A region as an editor with one tool for shape and label exports it."
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    place = {"id": f"r{kind}", "from_name": "label", "to_name": "image"}
    return {**place, **size, "type": kind, "value": {**value, kind: [*labels]}, **more}


def brush(labels=("disc",), mask=BRUSHED, **more):
    return region("brushlabels", {"format": "rle", "rle": encode_brush(mask > 0)}, labels, **more)


def percent(x, y):
    return [100 * x / WIDTH, 100 * y / HEIGHT]


def rectangle(left, top, width, height, rotation=0, **more):
    (x, y), (w, h) = percent(left, top), percent(width, height)
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": rotation}
    return region("rectanglelabels", value, **{"labels": ("square",)} | more)


def task(name, result=None, **more):
    "A task of a project: submitted with a result, or open."
    annotations = [] if result is None else [{"id": 1, "was_cancelled": False, "result": result}]
    data = {"image": f"/data/upload/3/8a7b6c5d-{name}.jpg"}
    return {"id": 7, "data": data, "annotations": annotations, "predictions": [], **more}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("studio") / "data")


@pytest.fixture
def take(folder, tmp_path):
    "Import tasks: what they say of each photo, and what was left out."

    def take(*tasks, **how):
        file = write(tmp_path / "tasks.json", [*tasks])
        imported, left_out = import_labels(file, tmp_path / "labels", folder, **how)
        return {name: read_labels(tmp_path / f"labels/{name}.png") for name in imported}, left_out

    return take


@pytest.fixture(scope="module")
def reader():
    reader = Reader()
    yield reader
    reader.stop()


def test_open_skipped_and_empty_tasks_are_left_out(take):
    skipped = task("c", annotations=[{"was_cancelled": True, "result": [brush()]}])
    predicted = task("e", predictions=[{"model_version": "swsss", "result": [brush()]}])  # nobody looked at it yet
    numbers = task("f", annotations=[4, 5], predictions=[6])
    tasks = [task("a", [brush()]), task("b"), skipped, task("d", []), predicted, numbers]
    labels, left_out = take(*tasks)
    assert list(labels) == ["a"] and np.array_equal(labels["a"], BRUSHED)
    assert left_out == [
        "1 of 6 photos has no annotation and was left out: pass -p empty_is_background True if it shows background",
        "3 of 6 tasks are still open and were left out: b, e, f",
        "1 of 6 tasks was skipped and was left out: c",
    ]
    labels, left_out = take(*tasks, empty_is_background=True)
    assert sorted(labels) == ["a", "d"] and labels["d"].shape == SIZE and not labels["d"].any()
    assert len(left_out) == 2  # what is open or was skipped is no background


def test_the_last_that_was_submitted_counts_beside_numbers_and_skipped_ones(take):
    before, after = {"result": [brush(("square",))]}, {"result": [brush()]}
    answers = [before, after, {"was_cancelled": True, "result": []}, 17]
    labels, left_out = take(task("a", annotations=answers, predictions=[1, 2]))
    assert np.array_equal(labels["a"], BRUSHED) and left_out == []


def test_shapes_of_every_tool_beside_brushes(take):
    polygon = region("polygonlabels", {"points": [percent(*p) for p in [(20, 2), (30, 2), (30, 8), (20, 8)]]})
    (x, y), (rx, ry) = percent(8, 18), percent(5, 4)
    ellipse = region("ellipselabels", {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": 0}, ("square",))
    labels, left_out = take(task("a", [brush(), polygon, rectangle(20, 12, 10, 8), ellipse]))
    expected = np.maximum.reduce([BRUSHED, boxed(2, 20, 8, 30), boxed(12, 20, 20, 30, 2)])
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    within = ((x - 8) / 5) ** 2 + ((y - 18) / 4) ** 2
    assert left_out == []
    assert np.array_equal(labels["a"][:, 18:], expected[:, 18:]) and np.array_equal(labels["a"][:12], expected[:12])
    assert (labels["a"][within < 0.6] == 2).all() and (labels["a"][(within > 1.5) & (expected == 0)] == 0).all()


@pytest.mark.parametrize(("rotation", "box"), [(90, (4, 8, 14, 12)), (180, (0, 2, 4, 12)), (0, (4, 12, 8, 22))])
def test_a_rectangle_turns_around_its_corner(take, rotation, box):
    "Clockwise, in pixels: by 90 degrees it hangs down to the left of where it began."
    labels, _ = take(task("a", [rectangle(12, 4, 10, 4, rotation)]))
    assert np.array_equal(labels["a"], boxed(*box, 2))


def test_tools_without_labels_of_their_own(take):
    "<Rectangle> beside <Labels>: one region in two entries; choices and texts beside are none."
    plain = rectangle(20, 12, 10, 8) | {"type": "rectangle", "id": "x"}
    labels = {**plain, "type": "labels", "value": {**plain["value"], "labels": ["square"]}}
    choice = {"type": "choices", "value": {"choices": ["good"]}, "from_name": "q", "to_name": "image"}
    found, left_out = take(task("a", [plain, labels, choice, {"type": "relation", "from_id": "x", "to_id": "y"}]))
    assert np.array_equal(found["a"], boxed(12, 20, 20, 30, 2)) and left_out == []


def test_a_region_whose_class_nobody_can_tell_is_void(take):
    none = rectangle(20, 12, 10, 8, labels=())
    labels, left_out = take(task("a", [brush(), none, brush(("disc", "square"), boxed(20, 0, 24, 9))]))
    expected = np.maximum.reduce([BRUSHED, boxed(12, 20, 20, 30, 255), boxed(20, 0, 24, 9, 255)])
    assert np.array_equal(labels["a"], expected)
    assert left_out == ["2 regions have no label or several and are void, of a"]


def test_what_cannot_be_drawn_is_counted(take):
    point = region("keypointlabels", {"x": 5, "y": 5, "width": 1})
    line = region("polygonlabels", {"points": [[1, 1], [5, 5]]})
    turned = brush(image_rotation=90)
    labels, left_out = take(task("a", [brush(), point, line]), task("b", [turned]))
    assert list(labels) == ["a"] and np.array_equal(labels["a"], BRUSHED)
    assert left_out == [
        "1 of 2 photos has no annotation that can be drawn and was left out: b",
        "3 regions are of a shape that is not drawn here, or of a turned photo, and were left out, of a, b",
    ]


def test_two_tasks_of_one_photo(take):
    "Of two that say different things neither is taken; an open one beside does not matter."
    labels, left_out = take(task("a", [brush()]), task("a"), task("b", [brush()]), task("b", [brush(("square",))]))
    assert list(labels) == ["a"] and "2 names could mean several photos, or share one" in left_out[-1]


def test_our_own_file_and_a_file_of_predictions_come_back(folder, take, tmp_path):
    items = [Labelled(n, BRUSHED * (n != "b"), folder.image_path(n), f"{n}.jpg") for n in "ab"]
    write_label_studio(tmp_path / "own.json", iter(items), folder.classes)
    imported, left_out = import_labels(tmp_path / "own.json", tmp_path / "own", folder)
    assert imported == ["a", "b"] and left_out == [] and not read_labels(tmp_path / "own/b.png").any()
    labels, _ = take({"data": {"image": "c.jpg"}, "predictions": [{"result": [brush()]}]})
    assert np.array_equal(labels["c"], BRUSHED)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([brush(("horse",))], "'horse' is not a class"),
        ([brush(original_width=1e9)], "no image has 24 x 1000000000.0 pixels"),
        ([brush(original_height=None)], "no image has None x 32 pixels"),
        ([brush(), rectangle(1, 1, 5, 5, original_width=99)], "photos of 2 sizes"),
        ([region("brushlabels", {"rle": 10**12})], "a brush of 1000000000000, not of bytes"),
        ([region("brushlabels", {"rle": encode_brush(BRUSHED > 0)[:9]})], "cannot be read as a label"),
        ([region("brushlabels", {"rle": [300] * 9})], "cannot be read as a label"),
        ([region("brushlabels", {"rle": encode_brush(np.ones((9, 9), bool))})], "a brush of 81 pixels"),
        ([rectangle(float("nan"), 1, 5, 5)], "x is nan"),
        ([rectangle(1, 1, 5, 5, 1e9)], "rotation is 1000000000.0"),
        ([region("polygonlabels", {"points": [[0, 0], [None, 0], [9, 9]]})], "a coordinate is None"),
        ([region("polygonlabels", {"points": [[0, 0], [1e9, 0], [9, 9]]})], "a coordinate is 1000000000.0"),
        ([region("polygonlabels", {"points": [1, 2, 3]})], "cannot be read as a label"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(reader, tmp_path, result, says):
    reader.refuses(write(tmp_path / "odd.json", [task("a", result)]), CLASSES, says)


VALID = [
    task("a", [brush(), rectangle(1, 1, 5, 5, 30), region("polygonlabels", {"points": [[0, 0], [9, 0], [9, 9]]})]),
    task("b", [region("ellipselabels", {"x": 50, "y": 50, "radiusX": 9, "radiusY": 20, "rotation": 5})]),
    {"data": {"image": "c.jpg", "name": "c"}, "predictions": [{"model_version": "swsss", "result": [brush()]}]},
]


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
