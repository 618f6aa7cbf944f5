"""Correcting labels in a real browser: brush, polygon, class change, snap, undo; and what is on the disk then.

pytest tests/test_correcting.py                     on made-up labels of the demo's scenes
SWSSS_DATA=... pytest tests/test_correcting.py      of another folder's photos, 240 of them with masks
"""

import cv2
import numpy as np
import pytest
from browser import Page, choices, control, edit_label, judgements, needs_browser, pointer, shown
from selenium.webdriver.common.keys import Keys

from swsss.photos.files import read_json
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels
from swsss.runs.label_folder import network_label, read_corrected

pytest_plugins = ["browser"]
pytestmark = needs_browser
RUN = "made-up"


@pytest.fixture(scope="module")
def explorer(lab, browser):
    "The explorer, on the labels of the made-up run, in the order of their names."
    page = Page(browser)
    page.open_labels(lab, f"{RUN}/labels")
    page.choose("name")
    page.until(lambda: shown(page) == sorted(shown(page)), "the order by name")


@pytest.fixture
def labels(project):
    return project / "runs" / RUN / "labels"


def close(page):
    page.until(lambda: not page.all(".swsss-editor[open]"), "the editor closed")


def classes_of(labels):
    return VOCFolder(read_json(labels.parent / "run.json")["data"]).classes


def key_of(page, labels, not_in):
    "A class of this photo that is not `not_in`: its index and its key."
    names = classes_of(labels)
    for name, key in choices(page).items():
        if name not in ("background", "void") and names.index(name) != not_in:
            return names.index(name), key
    raise AssertionError(f"the photo has no other class than {names[not_in]}")


def test_brush(project, explorer, page, labels):
    "Strokes of a class, of void and of the eraser, some undone; the label holds them, the network's own is kept."
    name = edit_label(page, 3)
    before, own = read_labels(labels / f"{name}.png"), (labels / f"{name}.png").read_bytes()
    height, width = before.shape
    index, key = key_of(page, labels, before[height // 4, width // 4])
    page.keys("b", key)
    pointer(page, (width // 4, height // 4), (width // 2, height // 4), drag=True)
    page.keys("v")
    pointer(page, (width // 2, height // 2))
    page.keys("e")
    pointer(page, (3, 3), (width - 4, 3), drag=True)
    control(page, "z")
    control(page, "z")
    control(page, "y")
    page.screenshot("correcting-brush")
    page.keys(Keys.ESCAPE)
    page.until(lambda: "not saved" in page.text(".swsss-editor-status"), "a warning")
    assert (labels / f"{name}.png").read_bytes() == own
    control(page, "s")
    close(page)
    after = read_labels(labels / f"{name}.png")
    assert (after[height // 4, width // 4 : width // 2] == index).all()
    assert after[height // 2, width // 2] == 255
    assert (after[3] == before[3]).all(), "the eraser's stroke was undone"
    assert ((after != before) <= np.isin(after, [index, 255])).all()
    assert 0 < (after == 255).sum() - (before == 255).sum() < before.size / 20
    assert network_label(labels, name).read_bytes() == own and name in read_corrected(labels)
    row = judgements(project, RUN)[name]
    assert row["verdict"] == "accepted" and int(row["seconds"]) > 0
    page.until(lambda: "corrected in" in page.text(".swsss-explorer"), "the time in the heading")


def test_polygon(explorer, page, labels):
    name = edit_label(page, 4)
    before = read_labels(labels / f"{name}.png")
    height, width = before.shape
    index, key = key_of(page, labels, before[height // 2, width // 2])
    corners = [(width // 4, height // 4), (3 * width // 4, height // 4), (width // 4, 3 * height // 4)]
    page.keys("p", key)
    pointer(page, *corners)
    page.screenshot("correcting-polygon")
    page.keys(Keys.ENTER)
    control(page, "s")
    close(page)
    after = read_labels(labels / f"{name}.png")
    y, x = np.mgrid[:height, :width]
    depth = np.minimum.reduce([x - corners[0][0], y - corners[0][1], (1 - x / width - y / height) * min(width, height)])
    assert (after[depth > 3] == index).all() and (after[depth < -3] == before[depth < -3]).all()
    assert ((after != before) <= (after == index)).all()


def test_a_region_of_another_class(explorer, page, labels):
    "A click on a region and the key of a class; the network's own comes back by a button."
    name = edit_label(page, 5)
    before, own = read_labels(labels / f"{name}.png"), (labels / f"{name}.png").read_bytes()
    there = [c for c in np.unique(before) if 0 < c < 255]
    old = max(there, key=lambda c: (before == c).sum())
    y, x = max(np.argwhere(before == old).tolist(), key=lambda at: (before[near(at)] == old).sum())
    index, key = key_of(page, labels, old)
    pointer(page, (x, y))
    page.until(lambda: "choose what it is" in page.text(".swsss-editor-status"), "the question")
    page.screenshot("correcting-region")
    page.keys(key)
    control(page, "s")
    close(page)
    after = read_labels(labels / f"{name}.png")
    changed = after != before
    assert after[y, x] == index and (before[changed] == old).all() and (after[changed] == index).all()
    _, parts = cv2.connectedComponents((before == old).astype(np.uint8), connectivity=4)
    assert (changed == (parts == parts[y, x])).all()

    page.keys("c")
    page.until(lambda: page.all(".swsss-editor[open]"), "the editor again")
    page.button("own", ".swsss-editor-bar").click()
    close(page)
    page.until(lambda: (labels / f"{name}.png").read_bytes() == own, "the network's own on disk")
    assert name not in read_corrected(labels) and not network_label(labels, name).exists()


def near(at, side=4):
    return tuple(slice(max(0, c - side), c + side + 1) for c in at)


def test_snap_is_shown_before_it_is_kept(explorer, page, labels):
    name = edit_label(page, 6)
    before = read_labels(labels / f"{name}.png")
    height, width = before.shape
    index, key = key_of(page, labels, before[height // 2, width // 2])
    page.keys("b", key)
    pointer(page, (width // 2 - 6, height // 2), (width // 2 + 6, height // 2), drag=True)
    page.keys("s")
    page.until(lambda: "Enter keeps" in page.text(".swsss-editor-status"), "a proposal")
    page.screenshot("correcting-snap")
    page.keys(Keys.ESCAPE)
    page.keys("s")
    page.until(lambda: "Enter keeps" in page.text(".swsss-editor-status"), "a proposal again")
    page.keys(Keys.ENTER)
    control(page, "s")
    close(page)
    after = read_labels(labels / f"{name}.png")
    assert (after[height // 2, width // 2 - 6 : width // 2 + 6] == index).all()
    assert ((after != before) <= (after == index)).all()


def test_leaving_changes_nothing(explorer, page, labels):
    name = edit_label(page, 7)
    own = (labels / f"{name}.png").read_bytes()
    page.keys("v")
    pointer(page, (5, 5), (20, 20), drag=True)
    page.keys("a", "d", "d", "x")  # no key reaches the explorer or the notebook
    page.keys(Keys.ESCAPE, Keys.ESCAPE)
    close(page)
    assert (labels / f"{name}.png").read_bytes() == own and name not in read_corrected(labels)
    page.keys("g")
    page.until(lambda: len(page.all(".swsss-corrected")) >= 1, "a sign in the grid")
    page.screenshot("correcting-grid")
    assert page.errors() == []
