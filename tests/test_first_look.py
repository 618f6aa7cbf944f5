"The first look at the explorer: three rows of thumbnails without scrolling, folds, and words that stay true."

import pytest
from browser import OVERFLOW, TOKEN, Page, choices, edit_label, needs_browser, pointer, shown
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["browser"]
pytestmark = needs_browser
NOTEBOOK = "explore_pseudo_labels.ipynb"

# How many rows of thumbnails can be seen whole in the notebook.
ROWS = """
const view = document.querySelector('.jp-WindowedPanel-outer').getBoundingClientRect();
const boxes = [...document.querySelectorAll('.swsss-card')].map(node => node.getBoundingClientRect());
const whole = boxes.filter(box => box.top >= view.top && box.bottom <= Math.min(view.bottom, innerHeight));
return new Set(whole.map(box => Math.round(box.top))).size;
"""
# Of each thumbnail the part of its width that is margin.
MARGINS = """
return [...document.querySelectorAll('.swsss-card img')].map(image => {
  const {width, height} = image.getBoundingClientRect();
  return 1 - Math.min(width, height * image.naturalWidth / image.naturalHeight) / width;
});
"""


@pytest.fixture(scope="module")
def opened(project, lab, browser):
    "The explorer as README says: Run All, and nobody has scrolled."
    page = Page(browser)
    page.run_all(f"{lab}/tree/runs/{NOTEBOOK}?token={TOKEN}&reset")
    page.until(lambda: len(shown(page)) == 24, "a page of thumbnails")
    page.until(lambda: "Idle" in page.kernel_status(), "all cells run")


def test_three_rows_are_seen_after_run_all(opened, page):
    pictures = lambda: [node.get_property("naturalWidth") for node in page.all(".swsss-card img")]  # noqa: E731
    page.until(lambda: len(pictures()) == 24 and all(pictures()), "pictures")
    page.until(lambda: page.js(ROWS) >= 3, "three rows of thumbnails in sight")
    assert max(page.js(MARGINS)) < 0.02
    assert page.js(OVERFLOW, ".swsss-explorer") == []


def test_a_person_scrolls_from_then_on(opened, page):
    "The explorer comes into view once, not whenever it is drawn again."
    outer = "document.querySelector('.jp-WindowedPanel-outer')"
    page.js(f"{outer}.scrollTop = 0")
    first = shown(page)
    page.js("document.querySelectorAll('.swsss-pager button')[1].click()")  # the mouse would scroll there itself
    page.until(lambda: shown(page) and shown(page) != first, "the second page")
    assert page.js(f"return {outer}.scrollTop") == 0
    page.scroll_to(".swsss-explorer")


def test_folds(opened, page):
    "Filters and what follows judging are folded; the button says how many filters are in use."
    hidden = [f".swsss-explorer {css}" for css in ("input[placeholder='search by name']", ".swsss-actions")]
    assert not any(page.one(css).is_displayed() for css in hidden)
    page.unfold("Filters")
    page.choose("strong")
    page.until(lambda: "Filters (1)" in page.one(".swsss-top").text, "the number of filters")
    page.choose("weak")
    next(s for s in page.selects() if "weak" in [o.text for o in s.options]).select_by_visible_text("all")
    page.until(lambda: "Filters (" not in page.one(".swsss-top").text, "no filter")
    page.unfold("Export, train")
    field = page.one(".swsss-actions input[type=number]")
    page.until(field.is_displayed, "iterations")
    assert int(field.get_attribute("value")) > 0
    for text in ("Filters", "Export, train"):
        page.button(text).click()
    page.until(lambda: not any(page.one(css).is_displayed() for css in hidden), "all folded")


def test_no_verdict_is_shown_where_nothing_is_open(opened, page):
    page.all(".swsss-card")[0].click()
    page.until(lambda: page.title(), "a label")
    page.keys("a", Keys.ARROW_LEFT)
    page.until(lambda: page.all("button.swsss-accepted"), "the verdict")
    page.keys("g")
    page.until(lambda: not page.title() and not page.all("button.swsss-accepted"), "a grid with no verdict of its own")


def test_the_hint_follows_the_choice(opened, page):
    said = lambda: page.text(".swsss-editor-status")  # noqa: E731
    edit_label(page, 1)
    name, key = next((name, key) for name, key in choices(page).items() if key not in "0")
    page.keys(key)
    page.until(lambda: said().startswith(f"{name} is chosen."), "the class chosen")
    pointer(page, (2, 2))
    page.until(lambda: "choose what it is" in said(), "the question")
    page.keys(key)
    page.until(lambda: said().startswith(f"This region is {name} now"), "the answer")
    page.keys(Keys.ESCAPE, Keys.ESCAPE)
    page.until(lambda: not page.all(".swsss-editor[open]"), "the label")
    assert page.errors() == []
