"The explorer in JupyterLab's light and dark theme: every text can be read, nothing needs scrolling sideways."

import pytest
from browser import CONTRAST, OVERFLOW, Page, control, needs_browser, shown
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["browser"]
pytestmark = needs_browser


@pytest.fixture(scope="module")
def explorer(project, lab, browser):
    "The explorer, on the labels of the run that was trained."
    page = Page(browser)
    page.open_run(project, lab, "short")
    yield page
    page.use_theme("Light")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_texts_can_be_read(explorer, page, theme):
    page.use_theme(theme)
    page.all(".swsss-card")[0].click()
    page.keys("r")
    page.until(lambda: page.title() and not page.all(".swsss-wait"), "the next label")
    found = {}

    def look(view, root=".swsss-explorer"):
        page.screenshot(f"{theme.lower()}-{view}")
        found[view] = page.js(CONTRAST, root)
        assert page.js(OVERFLOW, root) == []

    look("detail")
    page.keys("l")
    page.until(lambda: page.all(".swsss-large[open]"), "the large view")
    look("large", ".swsss-large")
    page.keys(Keys.ESCAPE)
    page.keys("c")
    page.until(lambda: page.all(".swsss-editor[open] .swsss-choice"), "the editor")
    look("editor", ".swsss-editor")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all(".swsss-editor[open]"), "the label again")
    page.keys("g")
    page.until(lambda: shown(page) and not page.title(), "the grid")
    control(page, "a")
    page.until(lambda: len(page.all(".swsss-card.selected")) == len(shown(page)), "all selected")
    look("grid")
    page.unfold("Filters")
    page.unfold("Export, train")
    look("folds")
    for text in ("Filters", "Export, train"):
        page.button(text).click()
    page.keys(Keys.ESCAPE)
    page.keys("o")
    page.until(lambda: page.all(".swsss-matrix button:enabled"), "the overview")
    for tab, drawn in [("Classes", ".swsss-table tbody tr"), ("Confusion", ".swsss-matrix table")]:
        page.button(tab, ".swsss-overview").click()
        page.until(lambda drawn=drawn: any(node.is_displayed() for node in page.all(drawn)), tab)
        look(f"overview-{tab.lower()}")
    page.keys("o")
    assert not any(found.values()), found
