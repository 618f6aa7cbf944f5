"""The overview in a real browser: a cell of the matrix, two runs, a circle on the map; a run watched as it goes on.

pytest tests/test_overview.py -s                     on made-up labels of the demo's scenes
SWSSS_DATA=... pytest tests/test_overview.py -s      of another folder's photos, 240 of them with masks
"""

import os
import re
import shutil
import time

import pytest
from browser import OVERFLOW, TOKEN, ActionChains, Page, needs_browser, shown
from selenium.webdriver.common.keys import Keys

from swsss.explorer.gallery import Gallery
from swsss.explorer.overview import labels_in_cell
from swsss.explorer.results import draw_results
from swsss.photos.files import read_json
from swsss.photos.folder import VOCFolder

pytest_plugins = ["browser"]
pytestmark = needs_browser
RUN, OTHER = "made-up", "made-up-again"


@pytest.fixture(scope="module")
def truth(project):
    "The made-up labels compared with their masks."
    labels = project / "runs" / RUN / "labels"
    gallery = Gallery(VOCFolder(read_json(labels / "labels.json")["data"]), labels)
    gallery.count_truth()
    (labels / ".confusion.npz").unlink()
    return gallery


@pytest.fixture(scope="module")
def opened(project, truth, lab, browser):
    "The explorer on the labels of a made-up run; another run, in which three labels are the masks, lies beside it."
    other = draw_results(project / "runs" / OTHER, truth.folder, truth.names)
    for name in truth.names:  # what other tests corrected is corrected in both
        shutil.copy(truth.label_dir / f"{name}.png", other.labels)
    for name in truth.names[100:103]:
        (other.labels / f"{name}.png").write_bytes(truth.folder.mask_path(name).read_bytes())
    os.utime(other.run / "metrics.csv", (0, 0))  # the newest run is what opens
    page = Page(browser)
    page.open_labels(lab, f"{RUN}/labels")
    page.js("document.querySelector('.swsss-explorer').scrollIntoView({block: 'start'})")


def open_tab(page, name):
    "The overview, at one of its views, and nothing chosen in it before."
    page.js("document.querySelector('.swsss-explorer').focus()")
    if not page.one(".swsss-overview").is_displayed():
        page.keys("o")
        page.until(lambda: page.one(".swsss-overview").is_displayed(), "the overview")
    page.button(name, ".swsss-overview").click()
    while [chip for chip in page.all(".swsss-only") if chip.is_displayed()]:
        page.one(".swsss-only").click()
        time.sleep(0.5)
    page.until(lambda: f"{240} of {240}" in page.one(".swsss-explorer").text, "all labels")


def dark(page, on):
    theme = "JupyterLab Dark" if on else "JupyterLab Light"
    page.js("window.jupyterapp.commands.execute('apputils:change-theme', {theme: arguments[0]})", theme)
    page.until(
        lambda: page.js("return document.body.dataset.jpThemeLight") == ("false" if on else "true"),
        f"the theme {theme}",
    )


def pictures(page, name):
    "How it looks, in both themes."
    page.js("document.querySelector('.swsss-explorer').scrollIntoView({block: 'start'})")
    page.screenshot(f"overview-{name}")
    dark(page, True)
    page.screenshot(f"overview-{name}-dark")
    dark(page, False)
    assert page.js(OVERFLOW, ".swsss-explorer") == []


def test_a_cell_of_the_matrix_shows_its_labels(opened, page, truth):
    open_tab(page, "Confusion")
    page.until(lambda: page.all(".swsss-matrix button:enabled"), "the matrix")
    pictures(page, "confusion")
    wrong = max(page.all(".swsss-matrix .wrong button:enabled"), key=lambda node: float(node.text.replace("<1", "0")))
    said = wrong.get_attribute("aria-label")
    wrong.click()
    page.until(lambda: page.one(".swsss-only").is_displayed(), "labels of this cell only")
    classes = [truth.folder.classes.index(name) for name in said.split(":")[0].split(" labelled ")]
    expected = labels_in_cell(truth.pairs, *classes)
    page.until(lambda: shown(page) == expected[:24], "the labels of this cell, most pixels first")
    assert f"{len(expected)} of 240" in page.one(".swsss-explorer").text
    pictures(page, "cell")
    assert page.errors() == []


def test_the_matrix_is_used_by_keys(opened, page, truth):
    open_tab(page, "Confusion")
    page.until(lambda: page.all(".swsss-matrix button[tabindex='0']"), "a cell that Tab reaches")
    page.js("document.querySelector(\".swsss-matrix button[data-r='0'][data-c='0']\").focus()")
    page.keys(Keys.ARROW_DOWN)
    for _ in range(20):
        page.keys(Keys.ARROW_RIGHT)
    at = page.js("return {...document.activeElement.dataset}")
    assert int(at["r"]) >= 1 and int(at["c"]) >= 1, at
    assert "page 1 of" in page.one(".swsss-explorer").text, "arrows in the matrix turn no page"
    said = page.js("return document.activeElement.getAttribute('aria-label')").split(":")[0]
    page.keys(Keys.ENTER)
    page.until(lambda: said.split(",")[0] in page.one(".swsss-only").text, "labels of this cell only")


def test_classes_sort_and_lead_to_labels(opened, page, truth):
    open_tab(page, "Classes")
    rows = lambda: [row.text for row in page.all(".swsss-table tbody tr") if row.is_displayed()]  # noqa: E731
    page.until(rows, "a row a class")
    before = rows()
    page.button("IoU", ".swsss-overview").click()
    page.until(lambda: rows() != before, "another order")
    ious = [float(text.split()[-3]) for text in rows()]
    assert ious == sorted(ious)
    pictures(page, "classes")
    page.all(".swsss-table tbody tr")[0].click()
    page.until(
        lambda: page.one(".swsss-only").is_displayed() and "worst first" in page.one(".swsss-only").text, "a class"
    )


def test_two_runs(opened, page, truth):
    open_tab(page, "Two runs")
    page.choose(f"{OTHER}/labels", ".swsss-overview")
    tables = lambda: [node for node in page.all(".swsss-table table") if node.is_displayed()]  # noqa: E731
    page.until(lambda: len(tables()) == 2, "two tables")
    page.until(lambda: "0 better here, 3 worse" in page.one(".swsss-overview").text, "what changed")
    pictures(page, "two-runs")
    rows = tables()[1].find_elements("css selector", "tbody tr")
    worst = [row.text.split()[0] for row in rows[:3]]
    assert set(worst) == set(truth.names[100:103])
    rows[0].click()
    page.until(lambda: worst[0] in page.title(), "the label, open")
    page.keys("g")
    page.until(lambda: not page.title(), "the grid")


def test_a_circle_on_the_map_selects(opened, page, truth):
    open_tab(page, "Map")
    end = time.time() + 400  # a network looks at all photos first
    while "Computing features of the photos" in page.one(".swsss-overview").text and time.time() < end:
        time.sleep(1)
    page.until(lambda: page.all(".swsss-map-legend button"), "the map")
    canvas = page.one(".swsss-map canvas")
    ActionChains(page.driver).move_to_element(canvas).perform()
    pictures(page, "map")
    width, height = canvas.size["width"], canvas.size["height"]
    chain = (
        ActionChains(page.driver)
        .move_to_element_with_offset(canvas, -width // 2 + 3, -height // 2 + 3)
        .click_and_hold()
    )
    for x, y in [(width // 2, 0), (0, height - 6), (-width // 2, 0)]:
        chain.move_by_offset(x, y)
    chain.release().perform()
    chosen = lambda: page.one(".swsss-explorer").text  # noqa: E731
    page.until(lambda: " selected" in chosen() and page.all(".swsss-card.selected"), "a selection in the grid")
    pictures(page, "map-circled")
    selected = page.js("return document.querySelectorAll('.swsss-card.selected').length")
    page.button("Show only selected").click()
    page.until(lambda: page.one(".swsss-only").is_displayed(), "only these")
    page.until(
        lambda: len(page.all(".swsss-card")) == len(page.all(".swsss-card.selected")) >= selected, "those selected"
    )
    assert page.errors() == []


@pytest.fixture
def going(project):
    "A run that has not ended yet."
    run = project / "runs" / OTHER
    (run / "hybrid.safetensors").rename(run / "away")
    yield run
    if (run / "away").exists():
        (run / "away").rename(run / "hybrid.safetensors")


def test_a_run_is_followed_while_it_goes_on(opened, going, lab, page):
    page.run_all(f"{lab}/tree/runs/explore_dynamic_evaluation.ipynb?token={TOKEN}&reset")
    page.scroll_to(".swsss-learning")
    page.until(lambda: "Idle" in page.kernel_status(), "an idle kernel")
    page.choose(OTHER, ".swsss-learning")
    text = lambda: page.one(".swsss-learning").text  # noqa: E731
    chart = lambda: page.all(".swsss-learning img")[0].get_attribute("src")  # noqa: E731
    page.until(lambda: "at iteration 390" in text() and "again every 5 s" in text(), "a run that goes on")
    first = re.search(r"Read at \S+,", text())[0]
    page.until(lambda: first not in text(), "another look")
    before = chart()
    metrics = going / "metrics.csv"
    last = metrics.read_text(encoding="utf-8").splitlines()[-1]
    with open(metrics, "a", encoding="utf-8") as f:
        f.write(",".join(["400", *last.split(",")[1:]]) + "\n")
    page.until(lambda: "at iteration 400" in text() and chart() != before, "the new step, without a click")
    page.screenshot("learning-going-on")

    (going / "away").rename(going / "hybrid.safetensors")
    page.until(lambda: "the run has ended" in text(), "the end of the run")
    ended = text()
    time.sleep(6)
    assert text() == ended, "nobody looks at a run that has ended"

    (going / "hybrid.safetensors").rename(going / "away")
    page.button("Refresh", ".swsss-learning").click()
    page.until(lambda: "again every 5 s" in text(), "a run that goes on")
    page.js("window.jupyterapp.commands.execute('notebook:restart-kernel')")
    page.one(".jp-Dialog .jp-mod-accept").click()
    page.until(page.ready, "a new kernel, which knows of no widget")
    time.sleep(6)
    severe = [entry["message"] for entry in page.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [line for line in severe if re.search("anywidget|swsss|TypeError|Cannot send|[Cc]omm", line)], severe
