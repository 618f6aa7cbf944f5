"A label as large as the window: what is large, what it is compared with, zoom at the pointer, and back."

import pytest
from browser import OVERFLOW, ActionChains, Page, needs_browser, shown
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["browser"]
pytestmark = needs_browser
WHERE = "return arguments[0].querySelector('.swsss-cross').getBoundingClientRect().toJSON()"


@pytest.fixture(scope="module")
def explorer(project, lab, browser):
    "The explorer, on the labels of the run that was trained, in the order of their names."
    page = Page(browser)
    page.open_run(project, lab, "short")
    page.choose("name")
    page.until(lambda: shown(page) == sorted(shown(page)), "the order by name")


@pytest.fixture
def large(explorer, page):
    "The first label, in the large view."
    name = shown(page)[0]
    page.all(".swsss-card")[0].click()
    page.until(lambda: name in page.title() and len(page.all(".swsss-panel")) == 7, "the label")
    page.until(lambda: not page.all(".swsss-wait"), "the networks' answers")
    page.keys("l")
    page.until(lambda: len(middle(page)) == 1, "the large view")
    yield page
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".swsss-large[open]"), "the small view")
    page.keys("g")
    page.until(lambda: shown(page) and not page.title(), "the grid")


def middle(page):
    "The titles of the pictures that are large."
    return [node.get_attribute("data-title") for node in page.all(".swsss-main .swsss-panel")]


def small(page, title):
    return page.one(f".swsss-strip [data-title='{title}'] .swsss-stage")


def test_what_is_large_is_chosen(large):
    page = large
    assert middle(page) == ["pseudo label"]
    stage, window = page.one(".swsss-main .swsss-stage").size, page.js("return [innerWidth, innerHeight]")
    assert stage["height"] > 0.8 * window[1] and stage["width"] > 0.5 * window[0]
    page.screenshot("large-one")
    small(page, "HybridNet").click()
    assert middle(page) == ["HybridNet"]
    page.keys("s")
    assert middle(page) == ["HybridNet", "ground truth"]
    ActionChains(page.driver).key_down(Keys.SHIFT).click(small(page, "error")).key_up(Keys.SHIFT).perform()
    assert middle(page) == ["HybridNet", "error"]
    page.keys("x")
    assert middle(page) == ["error", "HybridNet"]
    page.screenshot("large-side")
    page.keys("2")
    assert middle(page) == ["pseudo label", "HybridNet"]
    assert page.js(OVERFLOW, ".swsss-large") == []
    page.keys("o")
    assert page.errors() == []


def test_one_place_in_all_pictures(large):
    page = large
    stage = page.one(".swsss-main .swsss-stage")
    ActionChains(page.driver).move_to_element_with_offset(stage, 40, 30).click().perform()
    page.until(lambda: page.all(".swsss-barfill"), "bars of probability")
    assert page.one(".swsss-large[open] .swsss-barfill")
    under = [node.text for node in page.all(".swsss-main .swsss-under")]
    assert under and under[0].endswith("%"), under
    before = page.js(WHERE, stage)
    at = {"clientX": before["x"] + before["width"] / 2, "clientY": before["y"] + before["height"] / 2}
    at |= {"bubbles": True, "cancelable": True, "deltaY": -100}
    for _ in range(3):
        page.js("arguments[0].dispatchEvent(new WheelEvent('wheel', arguments[1]))", stage, at)
    after = page.js(WHERE, stage)
    assert abs(after["x"] - before["x"]) < 3 and abs(after["y"] - before["y"]) < 3, "what is under the pointer stays"
    zooms = {node.get_attribute("style").split("scale")[1] for node in page.all(".swsss-large .swsss-sheet")}
    assert len(zooms) == 1 and "1.95" in zooms.pop()
    ActionChains(page.driver).drag_and_drop_by_offset(stage, 60, 40).perform()
    moved = page.js(WHERE, stage)
    assert moved["x"] > after["x"] + 40 and moved["y"] > after["y"] + 20
    ActionChains(page.driver).double_click(stage).perform()
    assert "scale(1)" in page.one(".swsss-main .swsss-sheet").get_attribute("style")


def test_swipe_and_blink(large):
    page = large
    page.keys("w")
    ActionChains(page.driver).key_down(Keys.SHIFT).click(small(page, "ground truth")).key_up(Keys.SHIFT).perform()
    assert middle(page) == ["pseudo label", "ground truth"]
    clip = "return getComputedStyle(document.querySelectorAll('.swsss-main .swsss-stage')[1]).clipPath"
    before, line = page.js(clip), page.one(".swsss-divider")
    page.screenshot("large-swipe")
    ActionChains(page.driver).drag_and_drop_by_offset(line, 120, 0).perform()
    page.until(lambda: page.js(clip) != before, "the line elsewhere")
    page.keys("b")
    second = "return getComputedStyle(document.querySelectorAll('.swsss-main .swsss-panel')[1]).visibility"
    page.until(lambda: page.js(second) == "hidden", "the first of the two")
    page.until(lambda: page.js(second) == "visible", "the second")
    page.keys("o")


def test_judged_in_the_large_view(large):
    page, names = large, shown(large)
    about = lambda: page.one(".swsss-large-about").text  # noqa: E731
    first = about().split(" · ")[0]
    page.keys("a")
    page.until(lambda: about() and about().split(" · ")[0] != first, "the next label")
    assert names[1] in about() and page.all(".swsss-large[open]")
    page.keys(Keys.ARROW_LEFT)
    page.until(lambda: about().startswith(first) and "accepted" in about(), "the verdict")
    page.keys("u")
    page.until(lambda: "accepted" not in about(), "no verdict")
    page.keys("c")
    page.until(lambda: page.all(".swsss-editor[open]"), "the editor above it")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".swsss-editor[open]"), "the large view again")
    assert page.all(".swsss-large[open]") and page.errors() == []
