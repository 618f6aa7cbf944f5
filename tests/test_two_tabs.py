"""Two people with the same labels open, in two tabs of a real browser, each with a kernel of its own.

pytest tests/test_two_tabs.py
"""

import shutil

import numpy as np
import pytest
from browser import TOKEN, Page, control, edit_label, judgements, needs_browser, pointer, shown
from selenium.webdriver.common.keys import Keys

from swsss.photos.images import read_labels
from swsss.runs.label_folder import kept_labels, read_corrected, write_corrected

pytest_plugins = ["browser"]
pytestmark = needs_browser
RUN = "made-up"


class Tab(Page):
    "A page that is brought to the front by `with`."

    def __init__(self, driver):
        super().__init__(driver)
        self.window = driver.current_window_handle

    def __enter__(self):
        self.driver.switch_to.window(self.window)
        return self

    def __exit__(self, *error):
        pass


def by_name(tab):
    tab.choose(f"{RUN}/labels")
    tab.until(lambda: "240 of 240" in tab.text(".swsss-explorer"), "the labels of the made-up run")
    tab.choose("name")
    tab.until(lambda: len(shown(tab)) == 24 and shown(tab) == sorted(shown(tab)), "the order by name")


@pytest.fixture(scope="module")
def tabs(project, lab, browser):
    "Both tabs, on the labels of the made-up run in the order of their names."
    shutil.copy(project / "runs/explore_pseudo_labels.ipynb", project / "runs/explore_second.ipynb")
    first = Tab(browser)
    first.open_explorer(f"{lab}/tree/runs/explore_pseudo_labels.ipynb?token={TOKEN}&reset")
    by_name(first)
    browser.switch_to.new_window("tab")
    second = Tab(browser)
    second.open_explorer(f"{lab}/workspaces/second/tree/runs/explore_second.ipynb?token={TOKEN}&reset")
    by_name(second)
    yield first, second
    with second:
        browser.close()
    browser.switch_to.window(first.window)


def open_card(tab, number):
    "Open the label at this place of the grid; its name."
    name = shown(tab)[number]
    tab.all(".swsss-card")[number].click()
    tab.until(lambda: name in tab.title(), "the label")
    return name


def open_grid(tab):
    tab.keys("g")
    tab.until(lambda: not tab.title(), "the grid")


@pytest.fixture
def labels(project):
    return project / "runs" / RUN / "labels"


def paint(tab, *pixels):
    "A stroke of void."
    tab.keys("v")
    pointer(tab, *pixels, drag=True)


def closed(tab):
    tab.until(lambda: not tab.all(".swsss-editor[open]"), "the editor closed")


def status(tab):
    return tab.one(".swsss-status").text


def bar(tab, text):
    "Buttons of the editor that are shown."
    found = [b for b in tab.all(".swsss-editor-bar button") if b.text == text and b.is_displayed()]
    return found[0] if found else None


def somebody_corrects(labels, name):
    "Another program, in this process: a label that is void throughout."
    void = np.full_like(read_labels(labels / f"{name}.png"), 255)
    write_corrected(labels, [(name, void)])
    return void


# The page asks for nothing new by itself, so that a key is pressed before anything is drawn anew.
DEAF = "const deaf = arguments[0]; Object.defineProperty(document, 'hidden', {configurable: true, get: () => deaf});"


def test_the_second_to_save_is_told_and_loses_nothing(tabs, labels):
    first, second = tabs
    with first:
        name = edit_label(first, 3)
        before = read_labels(labels / f"{name}.png")
        paint(first, (3, 3), (20, 3))
    with second:
        assert edit_label(second, 3) == name
        paint(second, (3, 30), (20, 30))
        control(second, "s")
        closed(second)
        theirs = read_labels(labels / f"{name}.png")
        assert (theirs[30, 3:20] == 255).all() and (theirs[3] == before[3]).all()
    with first:
        assert bar(first, "Save over") is None or "changed" in first.text(".swsss-editor-status")
        control(first, "s")
        first.until(lambda: "changed" in first.text(".swsss-editor-status"), "a sentence")
        first.until(lambda: bar(first, "Theirs") and bar(first, "Save over"), "a choice")
        first.screenshot("two-tabs-told")
        assert (read_labels(labels / f"{name}.png") == theirs).all(), "nothing was overwritten"
        bar(first, "Theirs").click()
        first.until(lambda: "the newer label" in first.text(".swsss-editor-status"), "the newer label")
        first.screenshot("two-tabs-theirs")
        control(first, "z")
        bar(first, "Save over").click()
        closed(first)
        mine = read_labels(labels / f"{name}.png")
        assert (mine[3, 3:20] == 255).all() and (mine[30] == before[30]).all()
        kept = [read_labels(path) for path in kept_labels(labels, name)]
        assert any((one == theirs).all() for one in kept), "the other is kept beside"


def test_theirs_can_be_gone_on_with(tabs, labels):
    first, second = tabs
    with first:
        name = edit_label(first, 5)
        paint(first, (3, 3), (20, 3))
    with second:
        edit_label(second, 5)
        paint(second, (3, 30), (20, 30))
        control(second, "s")
        closed(second)
        theirs = read_labels(labels / f"{name}.png")
    with first:
        control(first, "s")
        first.until(lambda: bar(first, "Theirs"), "a choice")
        bar(first, "Theirs").click()
        paint(first, (3, 40), (20, 40))
        bar(first, "Save over").click()
        closed(first)
        both = read_labels(labels / f"{name}.png")
        assert (both[40, 3:20] == 255).all() and (both[30] == theirs[30]).all() and (both[3] == theirs[3]).all()


@pytest.mark.parametrize("hand", ["key", "button"])
def test_no_verdict_on_a_label_that_nobody_saw(tabs, project, labels, hand):
    first, second = tabs
    number = {"key": 7, "button": 8}[hand]

    def reject():
        if hand == "key":
            first.keys("r")
        else:
            first.button("Reject").click()

    with first:
        open_grid(first)
        name = shown(first)[number]
        first.all(".swsss-card")[number].click()
        first.until(lambda: name in first.title() and first.all(".swsss-fill"), "the label")
        first.js(DEAF, True)
    with second:
        edit_label(second, number)
        paint(second, (3, 30), (20, 30))
        control(second, "s")
        closed(second)
    with first:
        row = judgements(project, RUN)[name]
        reject()
        first.until(lambda: f"{name} has changed" in status(first), "a sentence")
        assert judgements(project, RUN)[name] == row and row["verdict"] == "accepted"
        first.until(lambda: name in first.title() and "corrected in" in first.text(".swsss-head"), "the new label")
        reject()
        first.until(lambda: judgements(project, RUN)[name]["verdict"] == "rejected", "a verdict on the new label")
        first.js(DEAF, False)


def test_undo_takes_nothing_of_the_other(tabs, project, labels):
    first, second = tabs
    with first:
        open_grid(first)
        name = open_card(first, 10)
        first.keys("a")
        first.until(lambda: judgements(project, RUN).get(name, {}).get("verdict") == "accepted", "a verdict")
    with second:
        open_grid(second)
        second.until(
            lambda: second.all(".swsss-card")[10].get_attribute("class").count("accepted"), "the other's verdict"
        )
        assert open_card(second, 10) == name
        second.keys("r")
        second.until(lambda: judgements(project, RUN)[name]["verdict"] == "rejected", "the other verdict")
        row = judgements(project, RUN)[name]
    with first:
        control(first, "z")
        first.until(lambda: "Not to undo" in status(first), "a sentence")
        assert judgements(project, RUN)[name] == row


def test_the_grid_follows_without_a_hand(tabs, project, labels):
    first, _ = tabs
    with first:
        open_grid(first)
        name = shown(first)[12]
        picture = lambda: first.all(".swsss-card")[12].find_element("css selector", "img").get_attribute("src")  # noqa: E731
        before, others = picture(), shown(first)
        first.keys(Keys.ESCAPE)
        void = somebody_corrects(labels, name)
        first.until(lambda: "corrected" in first.all(".swsss-card")[12].text and picture() != before, "the new label")
        assert shown(first) == others and name in read_corrected(labels)
        first.screenshot("two-tabs-followed")
        assert (read_labels(labels / f"{name}.png") == void).all()
        assert first.errors() == []
