"""Two explorers over one label folder, and other processes that write into it while one is open.

Every explorer here is used through the methods that its widgets call, and `Tab` stands for the browser: it knows of a
label what the page was sent, and says so. `test_two_tabs.py` does the most important of it in a real browser.
"""

import subprocess
import sys
import threading
import zlib
from inspect import isfunction
from pathlib import Path

import numpy as np
import pytest

from swsss.explorer import actions, correct, explore, gallery, grid, overview
from swsss.explorer.detail import packed
from swsss.explorer.explore import Explorer
from swsss.explorer.results import draw_results
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels, write_labels
from swsss.runs.label_folder import Judgements, network_label, read_corrected

ROOT = Path(__file__).parents[1]


@pytest.fixture
def results(demo, tmp_path):
    folder = VOCFolder(demo)
    return draw_results(tmp_path / "run", folder, folder.names[:12])


@pytest.fixture
def labels(results):
    return results.labels


OPENED = []  # explorers of this process


class Tab:
    "A person with an explorer in a browser's tab."

    def __init__(self, results):
        self.explorer, self.said, self.theirs, self.version = Explorer(results, page_size=6), "", None, None
        OPENED.append(self.explorer)
        self.explorer.controls.sort.value = "name"
        self.explorer.correction.editor.send = self.hear

    def hear(self, message, buffers=()):
        self.said = message.get("status", self.said)
        self.version = message.get("version", self.version)
        if "theirs" in message:
            self.theirs = self.unpacked(buffers[0]) if buffers else None

    def unpacked(self, buffer):
        width, height = self.explorer.correction.editor.size
        return np.frombuffer(zlib.decompress(buffer), np.uint8).reshape(height, width)

    @property
    def name(self):
        return self.explorer.name

    @property
    def status(self):
        return self.explorer.panels.status

    @property
    def shown(self):
        return self.explorer.detail.labels

    @property
    def is_editing(self):
        return bool(self.explorer.correction.editor.name)

    def edit(self, name):
        self.explorer.open(name)
        self.explorer.press("c")
        assert self.explorer.correction.editor.name == name
        self.version = getattr(self.explorer.correction.editor, "version", None)

    def ask(self, do, drawn=None, **more):
        message = {"do": do, "name": self.explorer.correction.editor.name, "version": self.version, **more}
        self.explorer.correction.on_message(message, [] if drawn is None else [packed(drawn)])

    def save(self, drawn):
        self.ask("save", drawn, seconds=5)

    def look(self):
        self.explorer.poll()
        self.explorer.wait()


@pytest.fixture
def tabs(results):
    return Tab(results), Tab(results)


@pytest.fixture(autouse=True)
def closed():
    "Nothing of a tab runs on: a network that it loads would draw random numbers while the next test trains."
    yield
    while OPENED:
        explorer = OPENED.pop()
        for pool in (explorer.worker, explorer.reader, explorer.sorter, explorer.poller):
            pool.shutdown(cancel_futures=True)


def drawn(labels, name, index):
    "A label as a person could have drawn it: all of one class but for a corner."
    one = np.full_like(read_labels(labels / f"{name}.png"), index)
    one[:5, :5] = 0
    return one


def verdict(labels, name):
    return Judgements(labels).verdict(name)


def copies(labels, name):
    "All that the folder holds of a label beside the one that counts."
    return [read_labels(path) for path in labels.rglob("*.png") if path.parent != labels and path.name.startswith(name)]


def holds(many, one):
    return any(np.array_equal(one, other) for other in many)


def correct_it(tab, labels, name, index):
    "Draw a label anew and save it."
    tab.edit(name)
    mine = drawn(labels, name, index)
    tab.save(mine)
    assert not tab.is_editing
    return mine


def elsewhere(code, *args):
    "Run code in another process."
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}]\n{code}", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


OTHER_PERSON = """
from pathlib import Path
from swsss.photos.folder import VOCFolder
from swsss.explorer.results import Results
from test_two_explorers import Tab, correct_it
root, labels, do, *names = sys.argv[1:]
tab = Tab(Results(VOCFolder(root), Path(labels), Path(labels).parent))
for name in names:
    if do == "correct":
        correct_it(tab, Path(labels), name, 2)
    else:
        tab.explorer.open(name)
        tab.explorer.press(do)
"""


def other_process(results, do, *names):
    "Another explorer in another process corrects or judges."
    elsewhere(OTHER_PERSON, results.folder.root, results.labels, do, *names)


# One label, two people


def test_the_second_of_two_corrections_is_told_and_keeps_what_was_drawn(tabs, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    second.edit(name)
    theirs = correct_it(first, labels, name, 1)
    mine = drawn(labels, name, 2)
    second.save(mine)
    assert second.is_editing and "has changed" in second.said
    assert np.array_equal(second.theirs, theirs), "the newer label is there to be seen"
    assert np.array_equal(read_labels(labels / f"{name}.png"), theirs), "nothing was overwritten"
    second.save(mine)
    assert not second.is_editing and np.array_equal(read_labels(labels / f"{name}.png"), mine)
    assert holds(copies(labels, name), theirs), "the other is kept beside"
    assert "corrected in 0:10" in second.explorer.about.value, "the time of both counts"


def test_saved_over_it_is_told_again_where_a_third_was_faster(tabs, results, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    second.edit(name)
    correct_it(first, labels, name, 1)
    mine = drawn(labels, name, 3)
    second.save(mine)
    other_process(results, "correct", name)
    second.save(mine)
    third = read_labels(labels / f"{name}.png")
    assert second.is_editing and np.array_equal(second.theirs, third) and (third == 2).any()


def test_a_label_that_went_away_while_it_was_corrected(tabs, labels):
    first, _ = tabs
    name = first.explorer.pages.names[4]
    first.edit(name)
    mine = drawn(labels, name, 1)
    (labels / f"{name}.png").unlink()
    first.save(mine)
    assert first.is_editing and "has changed" in first.said and first.theirs is None
    first.save(mine)
    assert not first.is_editing and np.array_equal(read_labels(labels / f"{name}.png"), mine)


def test_who_is_still_drawing_hears_of_it(tabs, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    second.edit(name)
    theirs = correct_it(first, labels, name, 1)
    second.look()
    assert second.is_editing and "changed elsewhere" in second.said and np.array_equal(second.theirs, theirs)


def test_the_networks_own_is_not_put_back_over_a_newer_correction(tabs, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    correct_it(first, labels, name, 1)
    second.edit(name)
    newer = correct_it(first, labels, name, 3)
    second.ask("restore")
    assert second.is_editing and "has changed" in second.said
    assert np.array_equal(read_labels(labels / f"{name}.png"), newer) and verdict(labels, name) == "accepted"
    second.ask("restore")
    assert not second.is_editing and name not in read_corrected(labels) and not network_label(labels, name).exists()
    assert holds(copies(labels, name), newer)


def test_what_is_corrected_is_the_label_that_is_there(tabs, labels):
    "A detail view that still shows the old label opens the new one to be corrected."
    first, second = tabs
    name = first.explorer.pages.names[4]
    second.explorer.open(name)
    theirs = correct_it(first, labels, name, 1)
    second.explorer.press("c")
    editor = second.explorer.correction.editor
    assert editor.name == name and np.array_equal(second.unpacked(editor.map), theirs)


# Verdicts


@pytest.mark.parametrize("key", "aru")
def test_a_verdict_is_on_the_label_that_was_shown(tabs, labels, key):
    first, second = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    theirs = correct_it(second, labels, name, 1)
    before = Judgements(labels).rows[name]
    first.explorer.press(key)
    assert Judgements(labels).rows[name] == before, "nothing was judged"
    assert first.name == name and np.array_equal(first.shown, theirs), "the new label is shown"
    assert f"{name} has changed" in first.status and "Nothing was judged" in first.status
    assert "corrected in 0:05" in first.explorer.about.value
    first.explorer.press(key)
    assert verdict(labels, name) == {"a": "accepted", "r": "rejected", "u": ""}[key]


def test_a_key_pressed_on_the_old_label_is_not_about_the_new_one(tabs, labels):
    "The page is drawn anew while a key is on its way."
    first, second = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    version = first.explorer.version
    correct_it(second, labels, name, 1)
    first.look()
    before = Judgements(labels).rows[name]
    first.explorer.press("r", name, version)
    assert Judgements(labels).rows[name] == before and "nothing was judged" in first.status
    first.explorer.press("r", name, first.explorer.version)
    assert verdict(labels, name) == "rejected"


def test_a_label_read_ahead_is_not_shown_once_it_is_another(tabs, labels):
    first, second = tabs
    names = first.explorer.pages.names
    first.explorer.open(names[3])
    first.explorer.reader.submit(lambda: None).result()
    theirs = correct_it(second, labels, names[4], 1)
    first.explorer.step(1)
    assert first.name == names[4] and np.array_equal(first.shown, theirs)


def test_a_verdict_that_was_not_in_sight_is_not_overruled(tabs, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    second.explorer.open(name)
    second.explorer.press("r")
    second.explorer.open(name)
    second.explorer.note.value = "hair"
    first.explorer.press("a")
    row = Judgements(labels).rows[name]
    assert (row["verdict"], row["note"]) == ("rejected", "hair")
    assert "judged elsewhere" in first.status and "rejected, with the note: hair" in first.status
    first.explorer.press("a")
    assert verdict(labels, name) == "accepted"


def test_undo_takes_back_only_what_is_still_ones_own(tabs, labels):
    first, second = tabs
    name, alone = first.explorer.pages.names[4:6]
    for one in (alone, name):
        first.explorer.open(one)
        first.explorer.press("a")
    second.look()
    second.explorer.open(name)
    second.explorer.press("r")
    second.explorer.open(name)
    second.explorer.note.value = "hair"
    before = Judgements(labels).rows[name]
    first.explorer.press("Ctrl+z")
    assert Judgements(labels).rows[name] == before
    assert "Not to undo" in first.status and name in first.status
    first.explorer.press("Ctrl+z")
    assert verdict(labels, alone) == "", "what is one's own is taken back"
    first.explorer.press("Ctrl+Shift+z")
    assert verdict(labels, alone) == "accepted" and Judgements(labels).rows[name] == before


def test_undo_leaves_a_correction_accepted(tabs, labels):
    "Another corrected the label since: with the same verdict, but on another label."
    first, second = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    first.explorer.press("a")
    second.look()
    correct_it(second, labels, name, 1)
    before = Judgements(labels).rows[name]
    first.explorer.press("Ctrl+z")
    assert Judgements(labels).rows[name] == before and before["verdict"] == "accepted"


def test_redo_judges_the_label_that_was_judged(tabs, results, labels):
    first, _ = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    first.explorer.press("a")
    first.explorer.press("Ctrl+z")
    write_labels(labels / f"{name}.png", drawn(labels, name, 1), {"made_by": "network"})
    first.explorer.press("Ctrl+Shift+z")
    assert verdict(labels, name) == "" and "Not to redo" in first.status


def test_two_notes_are_both_kept(tabs, labels):
    first, second = tabs
    name = first.explorer.pages.names[4]
    first.explorer.open(name)
    second.explorer.open(name)
    second.explorer.note.value = "hair"
    first.look()
    assert first.explorer.note.value == "", "somebody may be writing there"
    first.explorer.note.value = "a shadow"
    assert Judgements(labels).note(name) == "hair | a shadow" == first.explorer.note.value
    assert "both are kept" in first.status


# Many at once


def test_of_many_only_those_are_judged_that_are_as_they_were_seen(tabs, labels):
    first, second = tabs
    names = first.explorer.pages.names
    on_page, hidden = names[2], names[9]  # one is in sight, the other on a page that nobody has turned to
    for name in (on_page, hidden):
        correct_it(second, labels, name, 1)
    pictures = {item["name"]: item["jpeg"] for item in first.explorer.pages.grid.items}
    first.explorer.press("Ctrl+a")
    first.explorer.press("r", "", str(first.explorer.pages.grid.drawn))
    verdicts = {name: verdict(labels, name) for name in names}
    assert {name for name in names if verdicts[name] == "accepted"} == {on_page, hidden}
    assert list(verdicts.values()).count("rejected") == len(names) - 2
    assert set(first.explorer.pages.grid.selected) == {on_page, hidden}
    assert "2 have changed" in first.status and on_page in first.status
    now = {item["name"]: item["jpeg"] for item in first.explorer.pages.grid.items}
    assert [name for name in now if now[name] != pictures[name]] == [on_page]

    first.explorer.press("Ctrl+z")
    assert {verdict(labels, name) for name in names if name not in (on_page, hidden)} == {""}
    assert verdict(labels, on_page) == verdict(labels, hidden) == "accepted"


def test_once_told_a_second_key_judges_them(tabs, labels):
    first, second = tabs
    names = first.explorer.pages.names
    correct_it(second, labels, names[2], 1)
    drawn_before = str(first.explorer.pages.grid.drawn)
    first.explorer.pages.grid.selected = names[:4]
    first.explorer.press("r", "", drawn_before)
    first.explorer.press("r", "", drawn_before)  # pressed before anything was there to be read
    assert verdict(labels, names[2]) == "accepted"
    first.explorer.press("r", "", str(first.explorer.pages.grid.drawn))
    assert [verdict(labels, name) for name in names[:4]] == ["rejected"] * 4


def test_many_are_undone_but_for_those_that_another_has_judged(tabs, labels):
    first, second = tabs
    names = first.explorer.pages.names[:4]
    first.explorer.pages.grid.selected = names
    first.explorer.press("a")
    second.look()
    second.explorer.open(names[1])
    second.explorer.press("r")
    first.explorer.press("Ctrl+z")
    assert [verdict(labels, name) for name in names] == ["", "rejected", "", ""]
    assert "undo: " in first.status and f"Not to undo, since another has judged them since: {names[1]}" in first.status


# What others change is shown


def test_the_grid_shows_what_another_process_has_done(results, tabs, labels):
    first, _ = tabs
    names, folder = list(first.explorer.pages.names), results.folder
    pictures = {item["name"]: item["jpeg"] for item in first.explorer.pages.grid.items}
    other_process(results, "correct", names[1])
    other_process(results, "r", names[2])
    come = folder.names[12]
    write_labels(labels / f"{come}.png", folder.labels(come), {"made_by": "network"})
    with open(labels / "scores.csv", "a", encoding="utf-8") as scores:
        scores.write(f"{come},False,0.625,0.5,0.5,\n")
    first.look()
    items = {item["name"]: item for item in first.explorer.pages.grid.items}
    assert [name for name in items if items[name]["jpeg"] != pictures[name]] == [names[1]]
    assert items[names[1]]["corrected"] and not items[names[2]]["corrected"]
    assert first.explorer.pages.grid.verdicts == {
        name: {names[1]: "accepted", names[2]: "rejected"}.get(name, "") for name in names[:6]
    }
    assert "13 of 13 labels" in first.explorer.head.value and first.explorer.pages.names == [*names, come]
    first.explorer.open(come)
    assert "confidence 0.625" in first.explorer.about.value
    first.explorer.controls.judged.value = "corrected"
    assert first.explorer.pages.names == [names[1]]


def test_the_open_label_shows_what_another_process_has_done(results, tabs, labels):
    first, _ = tabs
    corrected, judged = first.explorer.pages.names[1:3]
    first.explorer.open(corrected)
    other_process(results, "correct", corrected)
    first.look()
    assert np.array_equal(first.shown, read_labels(labels / f"{corrected}.png")) and (first.shown == 2).any()
    assert f"{corrected} has changed" in first.status and "accepted" in first.explorer.about.value
    first.explorer.open(judged)
    other_process(results, "r", judged)
    first.look()
    assert first.name == judged and "rejected" in first.explorer.about.value


def test_numbers_follow_what_another_changed(results, tabs, labels):
    "True IoU, the overview and the order of what to look at next."
    first, second = tabs
    first.explorer.controls.sort.value = "iou"
    first.explorer.wait()
    worst = first.explorer.pages.names[0]
    assert first.explorer.gallery.table.at[worst, "iou"] < 0.9
    second.edit(worst)
    second.save(results.folder.labels(worst))
    come = results.folder.names[12]
    write_labels(labels / f"{come}.png", results.folder.labels(come), {"made_by": "network"})
    first.look()
    assert first.explorer.gallery.table.loc[[worst, come], "iou"].tolist() == [1, 1]
    first.explorer.controls.best_first.value = True
    assert {worst, come} <= set(first.explorer.pages.names[:6])
    first.explorer.controls.sort.value = "next"
    first.explorer.wait()
    assert first.explorer.pages.names.index(worst) > first.explorer.pages.names.index(come)


def test_keys_do_not_list_the_folder(tabs, monkeypatch):
    "With 100,000 labels listing takes a good part of a second: that is for the background, not for every key."
    first, _ = tabs
    monkeypatch.setattr(gallery, "label_stamps", lambda folder: pytest.fail("the folder was listed"))
    first.explorer.open(first.explorer.pages.names[0])
    for key in ["a", "r", "Ctrl+z", "ArrowLeft", "u", "n", "g", "ArrowRight", "ArrowLeft"]:
        first.explorer.press(key)
    assert first.explorer.pages.grid.verdicts[first.explorer.pages.names[0]] == ""


def test_looks_are_far_apart_where_one_takes_long(tabs, monkeypatch):
    first, _ = tabs
    looked, news = [], first.explorer.gallery.news
    monkeypatch.setattr(first.explorer.gallery, "news", lambda: looked.append(1) or news())
    first.look()
    monkeypatch.setattr(explore, "POLL_FACTOR", 1e9)
    for _ in range(3):
        if len(looked) < 2:
            first.explorer.next_poll = 0.0
        first.explorer.tick()
        first.explorer.wait()
    assert len(looked) == 2 and first.explorer.clock.looked == 4, "each question is answered, few look"


# While a network labels

LABELLER = """
import time
from pathlib import Path
from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import write_pseudo_labels
from swsss.method.model import load_checkpoint
root, labels, *names = sys.argv[1:]
class Slow(VOCFolder):
    def image(self, name):
        time.sleep(0.15)
        print(name, flush=True)
        return super().image(name)
network = load_checkpoint(Path(labels).parent / "hybrid.safetensors")
settings = {"scales": (1.0,), "flip": False, "progress": False}
write_pseudo_labels(Path(labels), Slow(root), names, network, {"run": "this"}, **settings)
"""


def test_corrections_saved_while_labels_are_made_stay(results, tmp_path):
    "A network goes over labels that are there, and a person corrects some of those before it comes to them."
    folder, labels, names = results.folder, results.run / "made", results.folder.names
    elsewhere(LABELLER, folder.root, labels, names[0])
    for name in names[1:]:
        write_labels(labels / f"{name}.png", folder.labels(name), {"made_by": "network"})
    tab = Tab(results._replace(labels=labels))
    command = [sys.executable, "-c", f"import sys\n{LABELLER}", folder.root, labels, *names]
    mine = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as labeller:
        next(line for line in labeller.stdout if line.strip() in names)  # it has begun
        for name in reversed(names[-8:]):
            tab.edit(name)
            mine[name] = drawn(labels, name, 1)
            tab.save(mine[name])
            if tab.is_editing:
                tab.save(mine[name])  # the network was there first; this is over it
        assert labeller.poll() is None, "the network still labels"
        labeller.communicate()
    assert labeller.returncode == 0
    for name, label in mine.items():
        assert np.array_equal(read_labels(labels / f"{name}.png"), label), name
    assert set(read_corrected(labels)) == set(mine)


# Threads


def test_a_label_that_is_being_opened_is_not_closed_by_a_thread(results, monkeypatch):
    "All labels have been looked at in the background, in the moment in which a person opens one."
    tab, go, looked = Tab(results), threading.Event(), threading.Event()
    explorer = tab.explorer
    count = explorer.gallery.count_truth
    monkeypatch.setattr(explorer.gallery, "count_truth", lambda *args: go.wait(30) and count(*args))
    explorer.controls.sort.value = "iou"
    draw, name = explorer._draw_panels, explorer.pages.names[4]

    def draw_and_wait():
        draw()
        go.set()
        looked.wait(2)  # what the thread does then comes between two lines of `open`

    monkeypatch.setattr(explorer, "_draw_panels", draw_and_wait)
    show = explorer._show_grid
    monkeypatch.setattr(explorer, "_show_grid", lambda *args, **more: [show(*args, **more), looked.set()])
    explorer.open(name)
    monkeypatch.setattr(explorer, "_draw_panels", draw)
    explorer.wait()
    assert explorer.name == name and explorer.detail.name == name, "the label stays open"
    explorer.close()
    counted = explorer.gallery.table["iou"]
    assert explorer.pages.names == list(counted.sort_values(kind="stable").index), "and the grid is sorted then"


def test_no_method_is_outside_of_the_lock():
    "Whoever adds a method that a thread may be in beside others has to say so here."
    outside = {
        gallery.Gallery: {"count_truth", "look", "news", "_measure", "_persons"},
        grid.Pages: set(),
        explore.Correction: set(),
        explore.Explorer: {"wait"},
        overview.Overview: {"wait"},
        actions.Actions: {"_carefully", "_write", "_train"},
    }
    for kind, but in outside.items():
        methods = {name: method for name, method in vars(kind).items() if isfunction(method) and name[:2] != "__"}
        assert {name for name, method in methods.items() if not hasattr(method, "__wrapped__")} == but, kind


def test_a_proposal_for_a_label_that_was_closed_meanwhile(results, monkeypatch):
    "The network answers for one label while another, of another size, is open."
    tab = Tab(results)
    names, sent, go = tab.explorer.pages.names, [], threading.Event()
    monkeypatch.setattr(explore, "snap_to_edges", lambda *args: go.wait(30) and correct.snap_to_edges(*args))
    tab.edit(names[1])
    stroke = np.zeros(tab.explorer.correction.editor.size[::-1], np.uint8)
    stroke[8:12, 8:12] = 1
    tab.explorer.correction.editor.send = lambda message, buffers=(): sent.append(message)
    tab.ask("snap", stroke, index=1)
    tab.ask("leave")
    tab.edit(names[2])
    go.set()
    tab.explorer.wait()
    assert [message.get("proposal") for message in sent] == [names[1]], "it says whose it is, and the browser drops it"


def test_an_export_is_of_one_moment(results, tabs, labels, monkeypatch):
    "A label is rejected while labels are exported: the export does not hold it."
    first, second = tabs
    row, name, written = actions.Actions(first.explorer), first.explorer.pages.names[3], []
    export = actions.export_labels

    def meanwhile(*args):
        number = export(*args)
        if not written:
            second.explorer.open(name)
            second.explorer.press("r")
        written.append(number)
        return number

    monkeypatch.setattr(actions, "export_labels", meanwhile)
    row.form.value, row.which.value = "coco", "usable"
    row.export()
    row.thread.submit(lambda: None).result()
    assert written == [12, 11] and row.status.value.count("11 labels (usable)") == 1


def test_stop_also_stops_the_step_that_has_not_begun(tmp_path, monkeypatch):
    "Pressed between two steps, when no process runs that could get the signal."
    steps, begun = actions.Steps(), []

    def step(verb, *args):
        begun.append(verb)
        if len(begun) == 2:
            steps.stop()
        return [sys.executable, "-c", f"open({str(tmp_path / verb)!r}, 'w')"]

    monkeypatch.setattr(actions, "notebook_command", step)
    with pytest.raises(InterruptedError):
        steps.run([(verb, tmp_path / f"{verb}.ipynb", {}) for verb in ("one", "two")])
    assert (tmp_path / "one").exists() and not (tmp_path / "two").exists()
