"""The whole way in one notebook: judge, correct, train again, see what it gained, export.

With SWSSS_PICTURES=nbs/images the picture of it for the README is written there.
"""

import os
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from browser import ROOT, Page, choices, control, edit_label, judgements, needs_browser, pointer, shown
from PIL import Image
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from swsss.photos.files import read_json
from swsss.photos.folder import VOCFolder
from swsss.photos.formats import open_export
from swsss.photos.images import read_labels
from swsss.runs.label_folder import read_corrected
from swsss.runs.run_folder import masks_of

pytest_plugins = ["browser"]
pytestmark = needs_browser
RUN = Path(os.environ.get("SWSSS_RUN", "short")).name
LONG = 600  # seconds for a training of a few iterations, its test and its labels, on a busy machine
STEPS = ["judge", "correct", "train-again", "compare"]


@pytest.fixture
def explorer(project, lab, browser):
    "The explorer, on the labels of weak images of the run that was trained, in the order of their names."
    for verb in ("train_pct", "retrain", "make_labels"):
        shutil.copy(ROOT / f"nbs/{verb}.ipynb", project / "nbs")
    page = Page(browser)
    page.open_run(project, lab, RUN)
    page.choose("name")
    page.until(lambda: shown(page) == sorted(shown(page)), "the order by name")
    page.unfold("Filters")
    page.choose("weak")
    page.unfold("Export, train")
    page.until(lambda: shown(page) and not page.all(".swsss-mask"), "weak images")


@pytest.fixture
def labels(project):
    return project / "runs" / RUN / "labels"


def save(page):
    control(page, "s")
    page.until(lambda: not page.all(".swsss-editor[open]"), "the editor closed")


def other_class(page, at=1):
    "The key of a class of this photo."
    return [key for name, key in choices(page).items() if name not in ("background", "void")][at - 1]


def test_look_correct_train_again_and_hand_over(explorer, page, project, labels):
    judge_twenty(page, project)
    before = correct_three(page, labels)
    train_again(page, "stage 2", f"{RUN}-again1: mIoU on val without tags")
    train_again(page, "stage 1", f"{RUN}-again2: mIoU on val with tags")
    again = project / "runs" / f"{RUN}-again2"
    assert masks_of(again) == sorted(before) == read_corrected(again / "labels")
    compare(page)
    export(page, labels, before)
    assert page.errors() == []
    if folder := os.environ.get("SWSSS_PICTURES"):
        draw_picture(ROOT / folder / "explorer-loop.png")


def judge_twenty(page, project):
    names = shown(page)
    page.all(".swsss-card")[0].click()
    for i, (name, following) in enumerate(pairwise(names[:21])):
        page.until(lambda name=name: name in page.title(), name)
        page.keys("r" if i % 4 == 3 else "a")
        page.until(lambda following=following: following in page.title(), following)
    page.until(lambda: judgements(project, RUN).get(names[19], {}).get("verdict") == "rejected", "twenty verdicts")
    given = [judgements(project, RUN)[name]["verdict"] for name in names[:20]]
    assert given == ["accepted", "accepted", "accepted", "rejected"] * 5
    page.keys("g")
    page.until(lambda: len(page.all(".swsss-card.rejected")) >= 5, "verdicts in the grid")
    page.screenshot("loop-judge")


def correct_three(page, labels):
    "By brush, polygon and another class for a region; what the labels were."
    before = {}
    for number, how in [(3, "brush"), (7, "polygon"), (11, "region")]:
        name = edit_label(page, number)
        before[name] = read_labels(labels / f"{name}.png")
        height, width = before[name].shape
        if how == "brush":
            page.keys("b", other_class(page))
            pointer(page, (width // 4, height // 4), (width // 2, height // 2), drag=True)
            page.screenshot("loop-correct")
        elif how == "polygon":
            page.keys("p", other_class(page))
            pointer(page, (width // 4, height // 4), (3 * width // 4, height // 4), (width // 4, 3 * height // 4))
            page.keys(Keys.ENTER)
        else:
            pointer(page, (width // 2, height // 2))
            page.until(lambda: "choose what it is" in page.text(".swsss-editor-status"), "the question")
            page.keys("0" if before[name][height // 2, width // 2] else other_class(page))
        save(page)
    assert set(before) <= set(read_corrected(labels))
    assert all((read_labels(labels / f"{name}.png") != old).any() for name, old in before.items())
    page.keys("g")
    page.until(lambda: not page.title(), "the grid")
    return before


def train_again(page, stage, ends):
    said = lambda: page.one(".swsss-actions").text  # noqa: E731
    page.selects(".swsss-actions")[2].select_by_visible_text(stage)
    field = page.one(".swsss-actions input[type=number]")
    field.click()
    control(page, "a")
    field.send_keys("20", Keys.ENTER)
    page.button("Train again").click()
    page.until(lambda: "iteration" in said() or "beginning" in said(), "the training")
    page.screenshot("loop-train-again")
    WebDriverWait(page.driver, LONG, 0.5).until(lambda _: ends in said() or "Not done" in said(), said())
    assert ends in said(), said()


def compare(page):
    page.keys("o")
    page.until(lambda: page.one(".swsss-overview").is_displayed(), "the overview")
    page.button("Two runs", ".swsss-overview").click()
    page.choose(f"{RUN}-again1/labels", ".swsss-overview")
    tables = lambda: [node for node in page.all(".swsss-table table") if node.is_displayed()]  # noqa: E731
    page.until(lambda: len(tables()) == 2, "two tables")
    page.js("document.querySelector('.swsss-explorer').scrollIntoView({block: 'start'})")
    page.screenshot("loop-compare")
    page.keys("o")


def export(page, labels, before):
    "The corrected labels as COCO, read back: what the label folder holds, bit for bit."
    lists = page.selects(".swsss-actions")
    lists[0].select_by_visible_text("corrected")
    lists[1].select_by_visible_text("coco")
    page.button("Export").click()
    page.until(lambda: "labels (corrected) are in" in page.one(".swsss-actions").text, "the file")
    classes = VOCFolder(read_json(labels.parent / "run.json")["data"]).classes
    with open_export(labels.with_name("labels-corrected-coco.json"), classes) as read:
        assert set(before) <= set(read)
        for name, get in read.items():
            assert np.array_equal(get(), read_labels(labels / f"{name}.png")), name


def draw_picture(path):
    "The four steps in one picture."
    shots = [Image.open(Path(ROOT / "artifacts" / f"loop-{step}.png")).convert("RGB") for step in STEPS]
    width, height = shots[0].size[0] // 2, shots[0].size[1] // 2
    sheet = Image.new("RGB", (2 * width + 8, 2 * height + 8), "white")
    for i, shot in enumerate(shots):
        sheet.paste(shot.resize((width, height), Image.LANCZOS), ((i % 2) * (width + 8), (i // 2) * (height + 8)))
    sheet.quantize(128).save(path, optimize=True)
    assert path.stat().st_size < 400_000
