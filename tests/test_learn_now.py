"Learn now in a browser: after two corrections the page of labels is made anew, and B brings the former one back."

import shutil

import pytest
from browser import OVERFLOW, Page, needs_browser, shown
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.support.ui import WebDriverWait

from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import read_corrected, restore_network_label, write_corrected

pytest_plugins = ["browser"]
pytestmark = needs_browser
LONG = 600  # seconds, on a busy machine


def changed(page):
    "How many thumbnails say that their label has changed."
    return sum("% changed" in card.text for card in page.all(".swsss-card"))


def open_labels(page):
    "The label folder that is chosen in the list."
    return page.selects()[0].first_selected_option.text


def status(page):
    return " ".join(node.text for node in page.all(".swsss-dim") if node.is_displayed())


@pytest.fixture
def corrected(project):
    "Two labels that a person corrected, before the explorer is opened."
    labels, folder = project / "runs" / "short" / "labels", VOCFolder(project / "data" / "demo")
    names = [path.stem for path in sorted(labels.glob("weak*.png"))[:2]]
    write_corrected(labels, [(name, folder.labels(name)) for name in names], folder=folder)
    yield names
    for name in names:
        restore_network_label(labels, name)
    for run in (project / "runs").glob("short-quick*"):
        shutil.rmtree(run)


def test_learn_now_and_back(page, project, lab, browser, corrected):
    page = Page(browser)
    page.open_run(project, lab, "short")
    page.choose("name")
    page.until(lambda: shown(page) == sorted(shown(page)), "the order by name")
    names = shown(page)
    page.button("Learn now (2)").click()
    page.until(lambda: page.button("Stop").is_displayed(), "learning")
    WebDriverWait(browser, LONG, 0.5, [StaleElementReferenceException]).until(
        lambda _: "val with tags: mIoU" in status(page), "val measured"
    )
    page.until(lambda: changed(page) and open_labels(page) == "short-quick1/labels", "labels made anew")
    assert shown(page) == names
    new = project / "runs" / "short-quick1" / "labels"
    assert read_corrected(new) == sorted(corrected)
    assert page.js(OVERFLOW, ".swsss-explorer") == []
    page.screenshot("learn-now")
    page.js("document.querySelector('.swsss-explorer').focus()")
    page.keys("b")
    page.until(lambda: "are the labels of short/labels again" in status(page), "the former labels")
    page.until(lambda: not changed(page) and open_labels(page) == "short/labels", "the former thumbnails")
    assert shown(page) == names
    assert page.errors() == []
