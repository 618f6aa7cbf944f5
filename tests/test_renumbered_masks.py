"""Masks in VOC's colours under other numbers, as a program leaves them that saves few colours: the check names what
each number has the colour of, before anything is trained, and the command that it gives mends them."""

import re
import subprocess
import sys

import numpy as np
import pytest
from data_folder import make_folder
from PIL import Image

from swsss.photos.check import FolderError
from swsss.photos.demo import draw_demo
from swsss.photos.folder import VOCFolder, renumber_masks
from swsss.photos.images import read_labels, voc_palette


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_folder(tmp_path / "voc").root


def quantise(path):
    "Save a mask as an image editor does that saves few colours: by how often they occur."
    with Image.open(path) as mask:
        colours = mask.convert("RGB")
    counts = sorted(colours.getcolors(), reverse=True)
    order = [tuple(rgb) for _, rgb in counts]
    indices = np.full(colours.size[::-1], 0, np.uint8)
    for index, rgb in enumerate(order):
        indices[(np.asarray(colours) == rgb).all(-1)] = index
    fewer = Image.fromarray(indices, "P")
    fewer.putpalette([value for rgb in order for value in rgb])
    fewer.save(path)
    return indices


def problems(root, **options):
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False, **options)
    return caught.value


def masks_in(root):
    return {path.name: read_labels(path) for path in sorted((root / "SegmentationClass").glob("*.png"))}


def test_the_check_says_which_number_has_the_colour_of_which_class(root):
    before = read_labels(root / "SegmentationClass/b.png")
    indices = quantise(root / "SegmentationClass/b.png")
    assert (indices != before).any()
    for _ in range(2):  # found now, and as it is kept from one check to the next
        found = problems(root).problems
        assert list(found) == ["mask renumbered"] and len(found["mask renumbered"]) == 1
        line = found["mask renumbered"][0]
        assert line.startswith("SegmentationClass/b.png: ") and "has the colour of 255, void" in line, line
    named = dict(re.findall(r"(\d+) has the colour of (\d+)", line))
    assert all((before[indices == int(index)] == int(k)).all() for index, k in named.items())


@pytest.mark.parametrize("keep_numbers", [False, True])
def test_the_command_in_the_report_mends_them(root, keep_numbers):
    before, numbers = masks_in(root), {}
    for name in ("a.png", "b.png", "x.png"):
        numbers[name] = quantise(root / "SegmentationClass" / name)
    as_they_were = {name: (root / "SegmentationClass" / name).read_bytes() for name in numbers}
    report = str(problems(root))
    command = re.search(r'python -c "(from swsss.photos.folder import renumber_masks;[^"]+)"', report)[1]
    if keep_numbers:
        other = re.search(r"renumber_masks\([^)]*keep_numbers=True\)", report)[0]
        command = command.split(";")[0] + "; " + other
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and "3 masks are new" in done.stdout, done.stderr
    after = masks_in(root)
    for name, labels in before.items():
        assert (after[name] == (numbers[name] if keep_numbers and name in numbers else labels)).all(), name
    for name, data in as_they_were.items():
        assert (root / "SegmentationClass-before" / name).read_bytes() == data
        with Image.open(root / "SegmentationClass" / name) as mask:
            assert mask.getpalette()[:9] == voc_palette()[:3].ravel().tolist()
    assert renumber_masks(root) == []
    if not keep_numbers:
        assert VOCFolder(root).check(progress=False) == []


def test_nothing_else_is_taken_for_it(root):
    "Masks as they should be, grey ones, and those in another tool's colours, whatever it numbered."
    palette = voc_palette()
    another = palette[[0, 9, 1, *range(3, 256)]]  # 9 is no class of three
    for name, colours in {"a": palette, "b": palette[:, ::-1] // 2 + 1, "c": another, "d": None}.items():
        path = root / f"SegmentationClass/{name}.png"
        labels = read_labels(path)
        mask = Image.fromarray(np.where(labels == 255, 0, labels).astype(np.uint8), "L" if colours is None else "P")
        if colours is not None:
            mask.putpalette(np.ascontiguousarray(colours).tobytes())
        mask.save(path)
    assert VOCFolder(root).check(progress=False) == []
    assert renumber_masks(root) == []


def test_masks_of_the_demo_are_numbered_right(tmp_path):
    root = draw_demo(tmp_path / "demo", strong=4, weak=2, val=2)
    assert VOCFolder(root).check(progress=False) == []
    assert renumber_masks(root) == []


def test_masks_to_judge_by_and_masks_that_give_tags_are_looked_at_too(root):
    quantise(root / "SegmentationClass/x.png")
    assert list(problems(root).problems) == ["mask renumbered"]
    tags = root / "tags.csv"
    tags.write_text("".join(line for line in tags.read_text().splitlines(True) if not line.startswith("y,")))
    quantise(root / "SegmentationClass/y.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("z\n")
    (root / "ImageSets/Segmentation/trainaug.txt").write_text("a\nb\nc\nd\ny\n")
    assert [line[:23] for line in problems(root).problems["mask renumbered"]] == ["SegmentationClass/y.png"]
