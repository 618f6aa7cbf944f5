"""The explore notebooks in a real JupyterLab, in a real browser, used as a person would.

    pytest tests/test_browser.py                           on a run of a minute, made here
    SWSSS_RUN=runs/ccp-92 pytest tests/test_browser.py     on a copy of a run of one's own, which stays as it is

Screenshots go to artifacts/. With SWSSS_PICTURES=FOLDER two of them are written there, for documentation.
"""

import os
import subprocess
from pathlib import Path

from browser import (
    OVERFLOW,
    PAINTED,
    TOKEN,
    ActionChains,
    judgements,
    keep_picture,
    looking_command,
    needs_browser,
    shown,
)
from selenium.webdriver.common.keys import Keys

pytest_plugins = ["browser"]
pytestmark = needs_browser
RUN = Path(os.environ.get("SWSSS_RUN", "short")).name


def test_pseudo_labels(project, lab, page):
    page.open_explorer(f"{lab}/tree/runs/explore_pseudo_labels.ipynb?token={TOKEN}&reset")
    page.until(lambda: all(image.get_property("naturalWidth") for image in page.all(".swsss-card img")))
    page.screenshot("explorer-grid")
    assert page.js(OVERFLOW, ".swsss-explorer") == []
    keep_picture(page, "explorer-grid", ".swsss-explorer")

    first = shown(page)
    page.choose("name")
    page.until(lambda: shown(page) != first, "another order")
    assert shown(page) == sorted(shown(page))
    page.choose("IoU with the ground truth")
    page.until(lambda: shown(page) != sorted(shown(page)) and "IoU" in page.text(".swsss-score"), "the order by IoU")
    scores = [float(score.text.split()[-1]) for score in page.all(".swsss-score")]
    assert scores == sorted(scores)
    page.choose("what to look at next")
    page.until(lambda: "no. 1" in page.text(".swsss-score"), "the order in which labels are worth a look")
    numbers = [score.text for score in page.all(".swsss-score")]
    assert numbers == [f"no. {number + 1}" for number in range(24)]
    assert page.js(OVERFLOW, ".swsss-explorer") == []
    page.screenshot("explorer-next")
    page.choose("IoU with the ground truth")
    page.until(lambda: "IoU" in page.text(".swsss-score"), "the order by IoU")
    look_at_detail(page, project)
    assert page.errors() == []

    page.js("jupyterapp.commands.execute('docmanager:save')")
    opened = project / looking_command()[1]
    page.until(lambda: "Explorer of " in opened.read_text(encoding="utf-8"), "the notebook saved with what it shows")
    assert subprocess.run(["git", "status", "--porcelain"], cwd=project, capture_output=True, check=True).stdout == b""


def look_at_detail(page, project):
    "Open a label; opacity, pixel, class switch, verdicts by button and key, note, and back."
    cells, names = len(page.all(".jp-Cell")), shown(page)
    page.all(".swsss-card")[1].click()
    page.until(lambda: len(page.all(".swsss-panel")) == 7, "seven panels")
    page.until(lambda: not page.all(".swsss-wait"), "the networks' answers")
    page.js("document.querySelector('.swsss-explorer').scrollIntoView({block: 'start'})")

    opacity = lambda: float(page.js("return getComputedStyle(document.querySelector('.swsss-fill')).opacity"))  # noqa: E731
    before = opacity()
    ActionChains(page.driver).drag_and_drop_by_offset(page.one("input[aria-label=Opacity]"), 40, 0).perform()
    page.until(lambda: opacity() > before + 0.1, "more opaque labels")

    stage = page.all(".swsss-stage")[1]
    ActionChains(page.driver).move_to_element_with_offset(stage, 20, 10).click().perform()
    page.until(lambda: page.all(".swsss-barfill"), "bars of probability")
    sums = page.js(
        "return [2, 3].map(i => [...document.querySelectorAll(`.swsss-row:not(.swsss-heads) > :nth-child(${i})`)]"
        ".reduce((sum, track) => sum + parseFloat(track.textContent), 0))"
    )
    assert all(abs(total - 1) < 0.05 for total in sums), sums
    assert "pseudo label:" in page.text(".swsss-pixel p")
    assert all(cross.is_displayed() for cross in page.all(".swsss-cross"))
    page.screenshot("explorer-detail")
    assert page.js(OVERFLOW, ".swsss-explorer") == []
    keep_picture(page, "explorer-detail", ".swsss-explorer")

    look_closely(page, stage)
    drawn = page.js(PAINTED, 1)
    assert set(drawn["fill"]) - {"0,0,0,0"} <= set(drawn["colours"]), "the label is drawn in the colours of its classes"
    assert set(drawn["line"]) - {"0,0,0,0"} <= set(drawn["fill"])
    for switch in range(len(page.all(".swsss-class"))):
        page.all(".swsss-class")[switch].click()
        assert page.all(".swsss-class")[switch].get_attribute("aria-pressed") == "false"
    page.until(lambda: list(page.js(PAINTED, 1)["fill"]) == ["0,0,0,0"], "labels without the classes switched off")
    for switch in range(len(page.all(".swsss-class"))):
        page.all(".swsss-class")[switch].click()
    page.until(lambda: page.js(PAINTED, 1) == drawn, "the classes again")

    note = next(i for i in page.all(".swsss-explorer input[placeholder=note]") if i.is_displayed())
    note.send_keys("a, r: good edges", Keys.ENTER)
    page.until(lambda: judgements(project, RUN).get(names[1], {}).get("note") == "a, r: good edges", "the note on disk")
    assert judgements(project, RUN)[names[1]]["verdict"] == "", "keys in a text field are text"

    page.button("Accept").click()
    page.until(lambda: judgements(project, RUN)[names[1]]["verdict"] == "accepted", "the verdict on disk")
    page.until(lambda: names[2] in page.title(), "the next label")
    page.keys("r")
    page.until(lambda: judgements(project, RUN).get(names[2], {}).get("verdict") == "rejected", "the key's verdict")
    page.until(lambda: names[3] in page.title(), "the next label again")
    page.until(lambda: not page.all(".swsss-wait"), "the networks' answers")
    page.keys("+")
    page.until(lambda: "scale(1.5)" in page.one(".swsss-sheet").get_attribute("style"), "a closer look")
    page.keys("g")
    page.until(lambda: page.all(".swsss-card.accepted") and page.all(".swsss-card.rejected"), "verdicts in the grid")
    assert len(page.all(".jp-Cell")) == cells, "a key reached the notebook"
    page.screenshot("explorer-judged")


def look_closely(page, stage):
    "The pointer names the classes in all panels; Ctrl and the wheel zoom where it is, a double click shows all."
    under = lambda: [span.text for span in page.all(".swsss-under")]  # noqa: E731
    title, label = page.title(), page.text(".swsss-pixel p").split("pseudo label: ")[1].split("\n")[0]
    ActionChains(page.driver).move_to_element_with_offset(stage, 20, 10).perform()
    page.until(lambda: under()[1].startswith(f"{label} "), "the class under the pointer")
    assert under()[1].endswith("%") and under()[3].endswith("%"), under()
    assert under()[0] == "" and all(under()[2:5]) and not any(under()[5:]), under()

    where = "return arguments[0].querySelector('.swsss-cross').getBoundingClientRect().x"  # marks this very pixel
    before = page.js(where, stage)
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', arguments[1]))"
    box = page.js(
        "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", stage
    )
    at = {"clientX": box[0] + 20, "clientY": box[1] + 10, "bubbles": True, "cancelable": True, "deltaY": -100}
    page.js(wheel, stage, at)
    assert "scale(1)" in page.one(".swsss-sheet").get_attribute("style"), "a wheel alone scrolls the notebook"
    for _ in range(3):
        page.js(wheel, stage, at | {"ctrlKey": True})
    assert "scale(1.95" in page.one(".swsss-sheet").get_attribute("style")
    assert abs(page.js(where, stage) - before) < 8, "what is under the pointer stays there"
    ActionChains(page.driver).move_to_element_with_offset(stage, 20, 10).double_click().perform()
    assert "scale(1)" in page.one(".swsss-sheet").get_attribute("style") and page.title() == title


def test_dynamic_evaluation(project, lab, page):
    os.utime(project / "runs" / RUN / "metrics.csv")  # the newest run is what opens
    page.run_all(f"{lab}/tree/runs/explore_dynamic_evaluation.ipynb?token={TOKEN}&reset")
    in_sight = "const top = document.querySelector('.swsss-learning')?.getBoundingClientRect().top;"
    page.until(
        lambda: page.js(f"{in_sight} return top >= 0 && top < innerHeight / 2"), "the view in sight after Run All"
    )
    page.until(lambda: len(page.all(".swsss-learning img")) == 2, "curves and snapshots")
    page.until(lambda: all(i.get_property("naturalWidth") > 300 for i in page.all(".swsss-learning img")), "pictures")
    page.until(lambda: "Idle" in page.kernel_status(), "an idle kernel")
    page.js("document.querySelector('.swsss-learning').scrollIntoView({block: 'start'})")
    page.screenshot("dynamic-evaluation")
    assert page.js(OVERFLOW, ".swsss-learning") == []

    before = page.all(".swsss-learning img")[1].get_attribute("src")
    page.one(".swsss-learning .noUi-handle").send_keys(Keys.ARROW_LEFT)
    page.until(lambda: page.all(".swsss-learning img")[1].get_attribute("src") != before, "an earlier snapshot")

    metrics = project / "runs" / RUN / "metrics.csv"
    *_, last = metrics.read_text().splitlines()
    with open(metrics, "a", encoding="utf-8") as f:
        f.write(",".join(["77777", *last.split(",")[1:]]) + "\n")
    page.button("Refresh").click()
    page.until(lambda: "77,777" in page.one(".swsss-learning").text, "the new step")
    assert page.errors() == []
