"""Lists, tables, label maps, annotations and image files out of hypothesis' imagination.

FUZZ_CASES=5000 pytest tests/test_data_fuzz.py      more cases a test than the 100 of an ordinary run
"""

import io
import itertools
import os
import string
from collections import Counter

import numpy as np
import pytest
from data_folder import CLASSES, LISTS, make_folder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from swsss.photos.check import FolderError, examine
from swsss.photos.files import project_path
from swsss.photos.folder import VOCFolder, read_split
from swsss.photos.images import read_image, read_labels, write_labels
from swsss.photos.lists import divide_masks, fewest_covering, name_of, parse_list, parse_tags, read_annotation

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "100")),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,  # the same cases in every ordinary run
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
INDEX = {name: i for i, name in enumerate(CLASSES)}

anything = st.text(max_size=60)
plain = st.text(string.ascii_letters + string.digits + " _-é写", min_size=1, max_size=12).map(str.strip).filter(bool)
climbing = st.sampled_from(
    ["../", "/", "..\\", "./", "a/../", "\0", ".", "JPEGImages/", "/JPEGImages/", "JPEGImages/../"]
)
spiteful = st.lists(climbing | plain | st.sampled_from([".jpg", ".png", " ", "\t"]), max_size=6).map("".join)
lines = anything | spiteful | plain
texts = st.lists(lines, max_size=8).flatmap(
    lambda rows: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(rows))
)


def is_safe(name):
    "Whether `name` stays in its folder, whatever it is joined to."
    inside = os.path.normpath(os.path.join("/data/JPEGImages", f"{name}.jpg"))
    return os.path.dirname(inside) == "/data/JPEGImages" and not set(name) & set("/\\\0\n\r") and name == name.strip()


@fuzz
@given(texts)
@example("\ufeffa\r\nb")
@example("JPEGImages/a.jpg SegmentationClass/a.png")
@example("JPEGImages/ !\n0 .jpg\nx.jpg.jpg")  # found here: would be read back as other names
def test_lists(text):
    names, faults = parse_list(text)
    assert len(set(names)) == len(names)
    assert all(is_safe(name) for name in names)
    assert len(names) + len(faults) == sum(
        bool(row.strip()) for row in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    )
    assert parse_list("\n".join(names)) == (names, [])  # what was read can be written and read again
    assert all(fault.isprintable() and len(fault) < 300 for fault in faults)


@fuzz
@given(plain)
def test_the_ways_to_write_a_name(name):
    ways = [name, f"{name}.jpg", f"JPEGImages/{name}.jpg", f"/JPEGImages/{name}.png", f" {name} "]
    ways += [f"JPEGImages/{name}.jpg SegmentationClass/{name}.png", f"JPEGImages/{name}.jpeg\tMasks/{name}.png"]
    assert len({name_of(way) for way in ways}) == 1


@fuzz
@given(texts | st.lists(st.tuples(lines, lines)).map(lambda rows: "image,tags\n" + "\n".join(map(",".join, rows))))
@example('image,tags\na,"disc')
@example("image,tags\na,disc;;square; \n\n,disc\n")
def test_tables(text):
    table, faults = parse_tags(text, INDEX)
    assert all(is_safe(name) for name in table)
    assert all(0 <= i < len(CLASSES) for indices in table.values() for i in indices)
    assert all(fault.isprintable() for _, fault in faults)


@fuzz
@given(st.dictionaries(plain, st.sets(st.sampled_from(CLASSES[1:])), max_size=6))
def test_good_tables_come_back(rows):
    rows = {name_of(name): tags for name, tags in rows.items()}
    table, faults = parse_tags("image,tags\r\n" + "\r\n".join(f"{n},{';'.join(t)}" for n, t in rows.items()), INDEX)
    assert faults == []
    assert {name: {CLASSES[i] for i in indices} for name, indices in table.items()} == rows


shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)


@fuzz
@given(labels=arrays.arrays(np.uint8, shapes))
def test_label_maps_come_back(tmp_path, labels):
    write_labels(tmp_path / "x.png", labels)
    assert np.array_equal(read_labels(tmp_path / "x.png"), labels)
    assert examine(tmp_path / "x.png", "mask").seen == tuple(np.unique(labels).tolist())


@fuzz
@given(array=arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)))
def test_label_maps_of_any_array(tmp_path, array):
    "Written exactly, or refused and nothing written."
    path = tmp_path / "y.png"
    path.unlink(missing_ok=True)
    try:
        write_labels(path, array)
    except ValueError:
        assert not path.exists()
    else:
        assert np.array_equal(read_labels(path), array)


def damage(blob, cuts):
    "Overwrite, cut out or insert bytes."
    blob = bytearray(blob)
    for where, how, what in cuts:
        at = where % max(len(blob), 1)
        blob[at : at + (0, 1, 7)[how]] = what
    return bytes(blob)


cuts = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 2), st.binary(max_size=9)), max_size=4)
noise = np.random.default_rng(0).integers(0, 3, (24, 32), dtype=np.uint8)


def blob_of(form, mode="RGB"):
    buffer = io.BytesIO()
    Image.fromarray(noise * 80).convert(mode).save(buffer, form)
    return buffer.getvalue()


BLOBS = [blob_of("PNG"), blob_of("JPEG"), blob_of("WEBP"), blob_of("PNG", "L"), blob_of("PNG", "P"), b""]
BLOBS += [blob_of("PNG", "RGBA"), blob_of("TIFF"), blob_of("TIFF", "L"), blob_of("BMP"), blob_of("AVIF")]
BLOBS += [project_path("tests/samples/phone.heic").read_bytes()]


@fuzz
@given(blob=st.builds(damage, st.sampled_from(BLOBS), cuts) | st.binary(max_size=200))
def test_image_files(tmp_path, blob):
    "Read as an image, or one ValueError that names the file; and never passed deeply but unreadable."
    path = tmp_path / "x.jpg"
    path.write_bytes(blob)
    seen = examine(path, "image", deep=True)
    try:
        image = read_image(path)
    except ValueError as error:
        assert str(path) in str(error) and seen.kind
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert seen.kind or seen.size == image.shape[:2]


@fuzz
@given(original=st.sampled_from([blob_of("PNG", "L"), blob_of("PNG", "P")]), cuts=cuts)
def test_damaged_masks_are_noticed(tmp_path, original, cuts):
    "A mask that passes holds the labels it was written with, whatever was done to its file."
    path = tmp_path / "x.png"
    path.write_bytes(damage(original, cuts))
    if not examine(path, "mask").kind:
        assert np.array_equal(read_labels(path), np.array(Image.open(io.BytesIO(original))))


@fuzz
@given(blob=st.binary(max_size=200) | anything.map(str.encode) | st.builds(
    damage, st.just(b"<annotation><object><name>disc</name></object></annotation>"), cuts))  # fmt: skip
def test_annotations(tmp_path, blob):
    path = tmp_path / "x.xml"
    path.write_bytes(blob)
    try:
        names = read_annotation(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(name, str) for name in names)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("fuzz") / "voc").root


TEXT_FILES = ["classes.txt", "tags.csv", *(f"ImageSets/Segmentation/{which}.txt" for which in LISTS)]
contents = st.binary(max_size=100) | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


@fuzz
@given(files=st.dictionaries(st.sampled_from(TEXT_FILES), contents, min_size=1, max_size=3))
def test_folders(root, monkeypatch, files):
    "A folder with any text files opens, and its check says yes, or raises its one kind of error."
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
    kept = {file: (root / file).read_bytes() for file in files}
    try:
        for file, content in files.items():
            (root / file).write_bytes(content)
        folder = VOCFolder(root)
        assert all(is_safe(name) for name in folder.names)
        try:
            folder.check(progress=False)
        except FolderError as error:
            assert str(error).startswith(tuple("123456789")) and str(root) in str(error)
        else:
            assert all(folder.tags(name).shape == (folder.num_classes,) for name in folder.names)
    finally:
        for file, content in kept.items():
            (root / file).write_bytes(content)


@fuzz
@given(split=st.integers() | st.text(max_size=20) | st.floats() | st.none() | st.booleans())
@example(10**9)
@example("~0")
def test_splits(root, split):
    "A split is names to learn from, or one clear error."
    folder = VOCFolder(root)
    try:
        names = read_split(folder, split)
    except (ValueError, TypeError, FileNotFoundError) as error:
        assert "split" in str(error)
    else:
        assert names and set(names) <= set(folder.listed("train"))


shown = st.dictionaries(plain, st.sets(st.integers(0, 5)), max_size=9)


@fuzz
@given(shown)
def test_masks_are_divided(shown):
    "Each mask once; no class is judged and not learned, and every class that can be spared is judged."
    strong, val = divide_masks(shown)
    assert sorted(strong + val) == sorted(shown)
    learned, judged = (set().union(*(shown[name] for name in part)) for part in (strong, val))
    assert judged <= learned and (strong or not shown)
    left = Counter(k for name in strong for k in shown[name])
    spare = [name for name in strong if all(left[k] > 1 for k in shown[name])] if len(strong) > 1 else []
    assert all(shown[name] <= judged for name in spare)


@fuzz
@given(shown)
def test_the_fewest_photos(shown):
    "Against trying all."
    names, every = fewest_covering(shown), set().union(*shown.values())
    assert set().union(*(shown[name] for name in names)) == every
    smaller = itertools.combinations(shown, max(len(names) - 1, 0))
    assert not names or not any(set().union(*(shown[name] for name in few)) == every for few in smaller)
