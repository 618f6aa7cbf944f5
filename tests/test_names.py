"""Whatever people call their photos and classes, and whatever they note: it comes back as it was, or one sentence says
what cannot be kept and what to do; never a traceback midway, another name, or a formula in a spreadsheet."""

import csv
import os
import re
import subprocess
import sys
import unicodedata
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from data_folder import make_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image
from run_notebook_command import run_notebook_command

from swsss.explorer.show import add_legend, iou_bars, legend_patches, show_strip, show_weights
from swsss.method.model import DeepLabV3Plus, save_checkpoint
from swsss.photos.check import FolderError
from swsss.photos.folder import VOCFolder
from swsss.photos.images import write_labels
from swsss.photos.lists import parse_list, parse_tags, read_text, write_list
from swsss.photos.new_photos import PhotoFolder
from swsss.runs.label_folder import (
    Judgements,
    append_score,
    read_corrected,
    read_judgements,
    read_scores,
    write_corrected,
    write_scores,
)

LATIN = "caf\udce9"  # as Linux gives the name of a file that is not UTF-8
AWKWARD = [
    "5 $ to 6 $^",
    "$\\frac",
    " blank ",
    "u\u2028v",
    "u\x85",
    "x\x1cy",
    "=1+1",
    "-5",
    "+5",
    "@home",
    "'=1",
    "don't",
    "_x",
]
EASY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
letters = st.one_of(st.sampled_from("=+-@'\"$;, \t\u2028\x85\xa0\x1c\ufeff_\\"), st.characters(codec="utf-8"))
file_names = st.text(letters, min_size=1, max_size=20).filter(
    lambda name: not set(name) & set("/\0\r\n") and name[0] != "." and len(name.encode()) < 200
)
anything = st.text(st.one_of(letters, st.sampled_from("\r\n\0\udce9")), max_size=20)


def sentence(error):
    "What an error says: one sentence, fit to be read, that tells of no code."
    said = str(error)
    assert 20 < len(said) < 700 and said.isprintable() and "codec" not in said and "Error" not in said, said
    return said


# pictures


@pytest.fixture
def drawn():
    "Draw a figure, as saving and showing do; the texts that are in it, as they are to be read."

    def draw(fig):
        fig.savefig(BytesIO(), format="png")
        shown = {
            text.get_text().replace(r"\$", "$").lstrip("\u200a") for text in fig.findobj(Text) if text.get_visible()
        }
        plt.close(fig)
        return shown

    return draw


@pytest.mark.filterwarnings("error:The label")  # of what begins with _, and is left out of legends
@pytest.mark.filterwarnings("ignore:Glyph")
def test_pictures_show_every_name_letter_by_letter(drawn):
    classes, image = ["background", *AWKWARD], np.zeros((20, 30, 3), np.uint8)
    labels = np.arange(600).reshape(20, 30).astype(np.uint8) % len(classes)
    fig = plt.figure(layout="constrained")
    add_legend(fig, legend_patches(range(1, len(classes)), classes))
    assert set(AWKWARD) <= drawn(fig)
    strip = drawn(show_strip([image] * len(AWKWARD), {"a $^$ b": [labels] * len(AWKWARD)}, classes, names=AWKWARD))
    assert {*AWKWARD, "a $^$ b"} <= strip
    assert {f"0.500  {name}" for name in AWKWARD} <= drawn(
        show_weights([image] * len(AWKWARD), [0.5] * len(AWKWARD), AWKWARD)
    )
    bars = drawn(iou_bars({"net $^$": np.full(len(classes), 0.5)}, classes, "run $^$"))
    assert {*AWKWARD, "net $^$, mIoU 50.0", "run $^$"} <= bars


# lists


@EASY
@given(st.lists(st.one_of(anything, file_names), max_size=6))
def test_a_list_holds_what_was_written_or_says_what_it_cannot_hold(tmp_path, names):
    path = tmp_path / "list.txt"
    path.unlink(missing_ok=True)
    try:
        write_list(path, names)
    except ValueError as error:
        assert f"{path} cannot hold the name " in sentence(error) and not path.exists()
    else:
        assert parse_list(read_text(path)) == (names, [])


@EASY
@given(st.lists(file_names, max_size=6))
def test_a_line_of_a_list_is_never_split_nor_another_name(names):
    "As an editor writes it: each line is one name, itself without spaces or tabs around it, or one fault."
    read, faults = parse_list("\r\n".join(names))
    lines = [name for name in names if name.strip()]
    assert len(read) + len(faults) == len(lines) or len(set(lines)) < len(lines)
    meant = {re.sub(r"(?i)\.(jpe?g|png|webp)$", "", Path(name.strip(" \t")).as_posix()) for name in lines}
    assert set(read) <= {unicodedata.normalize("NFC", name) for name in meant}


def test_what_ends_a_line_for_python_ends_none_in_a_list():
    for mark in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029":
        names, faults = parse_list(f"a{mark}b\nc")
        assert names in (["a" + mark + "b", "c"], ["c"]) and len(names) + len(faults) == 2, (mark, names)
        names, faults = parse_list(f"a{mark}\n")
        assert (names, len(faults)) == ([], 1), mark  # never the photo a


def test_derived_lists_are_kept_as_they_are_or_not_at_all(tmp_path):
    for number, name in enumerate(["u\u2028v", "x\u00a0y", " blank", "blank ", "u\x85", "x.jpg"]):
        root = tmp_path / str(number)
        folder = flat_folder(root, ["a", "b", "c", name])
        assert name in folder.names
        try:
            folder.write_lists()
        except ValueError as error:
            assert "cannot hold the name" in sentence(error) and "rename its photo" in str(error)
            assert not (root / "ImageSets/Segmentation").exists() or not any(
                (root / "ImageSets/Segmentation").iterdir()
            )
            assert VOCFolder(root).derived
        else:
            again = VOCFolder(root)
            assert not again.derived and {*again.names} == {*folder.names} and again.faults == []


def flat_folder(root, names, masks=3):
    "Photos beside their masks, as somebody has them who never heard of VOC."
    root.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(root / f"{name}.jpg")
        if i < masks:
            write_labels(root / f"masks/{name}.png", np.eye(8, dtype=np.uint8))
    (root / "classes.txt").write_text("background\nthing\n", encoding="utf-8")
    (root / "tags.csv").write_text(
        "image,tags\n" + "".join(f"{name},thing\n" for name in names), encoding="utf-8", errors="replace"
    )
    return VOCFolder(root)


@EASY
@given(st.lists(st.text(letters, min_size=1, max_size=12), min_size=1, max_size=5))
def test_classes_are_what_their_lines_say_or_a_fault(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("classes")
    make_folder(root / "voc")
    text = "\n".join(["background", *names])
    (root / "voc/classes.txt").write_text(text, encoding="utf-8", newline="\n")
    folder = VOCFolder(root / "voc")
    if not any(kind == "classes not usable" for kind, _ in folder.faults):
        meant = [unicodedata.normalize("NFC", name).strip() for name in re.split("\r\n|\r|\n", text)]
        assert list(folder.classes) == [name for name in meant if name]


def test_a_class_with_a_line_separator_is_one_fault_not_two_classes(tmp_path):
    root = make_folder(tmp_path / "voc").root
    for mark in "\x0b\x1c\x85\u2028":
        (root / "classes.txt").write_text(f"background\ndi{mark}sc\nsquare\n", encoding="utf-8")
        faults = [line for kind, line in VOCFolder(root).faults if kind == "classes not usable"]
        assert faults == ["classes.txt: a class with a line end or a control character in it"]


# label folders


@EASY
@given(st.sets(file_names, max_size=5))
def test_corrected_labels_keep_their_names(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("labels")
    names = {unicodedata.normalize("NFC", name) for name in names if name.strip()}  # as those of photos
    write_corrected(folder, [(name, np.zeros((2, 2), np.uint8)) for name in names])
    assert sorted(read_corrected(folder)) == sorted(names)


@EASY
@given(st.dictionaries(st.one_of(file_names, anything.filter(bool)), anything, max_size=5))
def test_judgements_come_back_as_they_were_said(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("labels")
    judgements, before = Judgements(folder), b""
    for name, note in notes.items():
        try:
            judgements.update({name: {"verdict": "accepted", "note": note}})
        except ValueError as error:
            assert "cannot hold the judgement of" in sentence(error)
            assert set(name + note) & set("\r\0\udce9"), (name, note)
            assert (judgements.path.read_bytes() if judgements.path.exists() else b"") == before
            continue
        before = judgements.path.read_bytes()
        kept = read_judgements(folder)[name]
        assert (kept["name"], kept["verdict"]) == (name, "accepted")
        assert kept["note"] == note.replace("\r\n", "\n").replace("\r", "\n")
        assert judgements.rows == Judgements(folder).rows


@EASY
@given(st.lists(file_names, unique=True, max_size=4), file_names)
def test_scores_come_back_under_the_names_they_were_written_under(tmp_path_factory, names, weakest):
    folder = tmp_path_factory.mktemp("labels")
    for name in names:
        append_score(folder, {"name": name, "strong": False, "confidence": 0.5, "weakest_class": weakest})
    there = set(names)
    for _ in range(2):
        scores = read_scores(folder, there)
        assert list(scores["name"]) == names and set(scores["weakest_class"]) <= {weakest}
        write_scores(folder, scores)


def cells(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [cell for row in csv.reader(file) for cell in row]


def test_no_cell_is_a_formula(tmp_path):
    formulas = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"]
    judgements = Judgements(tmp_path)
    judgements.update({name: {"note": name} for name in formulas})
    for name in formulas:
        append_score(tmp_path, {"name": name, "strong": False, "confidence": 0.5, "weakest_class": name})
    for file in ("judgements.csv", "scores.csv"):
        assert not [cell for cell in cells(tmp_path / file) if cell[:1] in tuple("=+-@\t＝")], file
    assert {name: row["note"] for name, row in read_judgements(tmp_path).items()} == dict(
        zip(formulas, formulas, strict=True)
    )
    assert list(read_scores(tmp_path, set(formulas))["name"]) == formulas


def test_tables_of_older_versions_are_read_as_they_were_meant(tmp_path):
    text = "name,verdict,note,time,seconds\n-5,accepted,=1+1,2026,\na,rejected,'quoted',2026,3\n"
    (tmp_path / "judgements.csv").write_text(text, encoding="utf-8")
    rows = read_judgements(tmp_path)
    assert (rows["-5"]["note"], rows["a"]["note"], rows["a"]["seconds"]) == ("=1+1", "'quoted'", "3")


def test_a_note_has_a_length_that_is_read_back(tmp_path):
    judgements = Judgements(tmp_path)
    judgements.set("a", "accepted", "short")
    before = judgements.path.read_bytes()
    with pytest.raises(ValueError) as caught:
        judgements.set("a", note="x" * 131_073)
    assert sentence(caught.value) == "the note on a has 131,073 characters; a note has 10,000 at most"
    assert judgements.path.read_bytes() == before and judgements.note("a") == "short"
    judgements.set("a", note="x" * 10_000)
    assert len(Judgements(tmp_path).note("a")) == 10_000


def test_a_folder_with_a_note_of_an_older_version_opens_and_is_judged_on(tmp_path):
    long = "x" * 131_073
    (tmp_path / "judgements.csv").write_text(
        f"name,verdict,note,time,seconds\na,accepted,{long},2026,\n", encoding="utf-8"
    )
    judgements = Judgements(tmp_path)
    judgements.set("a", "rejected")
    judgements.set("b", "accepted")
    again = read_judgements(tmp_path)
    assert (again["a"]["note"], again["a"]["verdict"], again["b"]["verdict"]) == (long, "rejected", "accepted")


# names that are no text


def stray(path):
    "A photo whose name is not UTF-8; not all file systems have such."
    try:
        Image.new("RGB", (8, 8)).save(path)
    except (OSError, UnicodeError):
        pytest.skip("this file system has no such names")


def command_in(text):
    return re.search(r'python -c "([^"]+)"', text)[1]


def run_command(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_derived_folder_names_them_and_the_command_renames_them(tmp_path):
    root = tmp_path / "photos"
    flat_folder(root, ["a", "b", "c", "d"])
    stray(root / f"{LATIN}.jpg")
    write_labels(root / "masks/line\nend.png", np.eye(8, dtype=np.uint8))
    Image.new("RGB", (8, 8)).save(root / "line\nend.jpg")
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False)
    assert set(caught.value.problems) == {"file name not usable"}
    assert len(caught.value.problems["file name not usable"]) == 3 and r"caf\udce9.jpg" in str(caught.value)
    assert "3 names are new" in run_command(command_in(str(caught.value)))
    with open(root / "tags.csv", "a", encoding="utf-8") as table:
        table.write("café,thing\nline_end,thing\n")
    folder = VOCFolder(root)
    folder.check(progress=False)
    assert {"café", "line_end"} <= set(folder.names) and folder.has_mask("line_end")


def test_a_listed_folder_names_those_that_its_lists_mean_and_no_others(tmp_path):
    root = make_folder(tmp_path / "voc").root
    stray(root / f"JPEGImages/{LATIN}.jpg")
    assert VOCFolder(root).check(progress=False) == []
    with open(root / "ImageSets/Segmentation/trainaug.txt", "a", encoding="utf-8") as file:
        file.write("café\n")
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False)
    assert caught.value.problems["file name not usable"] == [r"JPEGImages/caf\udce9.jpg"]
    run_command(command_in(str(caught.value)))
    assert VOCFolder(root).image_path("café").name == "café.jpg"


def test_nothing_is_overwritten_by_renaming(tmp_path):
    stray(tmp_path / f"{LATIN}.jpg")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "café.jpg")
    before = (tmp_path / "café.jpg").read_bytes()
    code = f"from swsss.photos.lists import rename_readable; rename_readable(r'{tmp_path}')"
    assert "stays as it is" in run_command(code)
    assert (tmp_path / "café.jpg").read_bytes() == before and os.path.lexists(tmp_path / f"{LATIN}.jpg")


def test_new_photos_are_labelled_whatever_they_are_called(tmp_path):
    "Names that can be kept are; the others are counted, and the command renames them."
    album, rng = tmp_path / "album", np.random.default_rng(0)
    album.mkdir()
    for name in AWKWARD:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(album / f"{name}.jpg")
    stray(album / f"{LATIN}.jpg")
    torch.manual_seed(0)
    network = DeepLabV3Plus(3, "test_resnet", None, channels=8, longest_side=24)
    save_checkpoint(network, tmp_path / "net.safetensors", classes=["background", "$\\frac", "_$^$"])
    how = {
        "weights": str(tmp_path / "net.safetensors"),
        "photos": str(album),
        "scales": 1,
        "device": "cpu",
        "threads": 1,
    }
    done, said = run_notebook_command("make_labels", tmp_path / "1.ipynb", **how)
    assert done, said
    assert r"1 photo(s) left out, such as caf\udce9.jpg: no list can hold a name that is not UTF-8" in said
    labels = tmp_path / "album-labels"
    assert sorted(read_scores(labels)["name"]) == sorted(AWKWARD) == sorted(PhotoFolder(album, ["background"]).names)
    assert sorted(path.stem for path in labels.glob("*.png")) == sorted(AWKWARD)
    run_command(command_in(said))
    done, said = run_notebook_command("make_labels", tmp_path / "2.ipynb", **how)
    assert done and f"{len(AWKWARD)} of {len(AWKWARD) + 1} labels are there already" in said, said
    assert sorted(read_scores(labels)["name"]) == sorted([*AWKWARD, "café"])


def test_a_folder_of_nothing_else_says_so(tmp_path):
    stray(tmp_path / f"{LATIN}.jpg")
    for make in (lambda: PhotoFolder(tmp_path, ["background"]), lambda: VOCFolder(tmp_path).check(progress=False)):
        with pytest.raises(ValueError) as caught:
            make()
        assert "rename_readable" in str(caught.value) and r"caf\udce9.jpg" in str(caught.value)


def test_tags_of_names_with_blanks_say_what_is_wrong():
    table, faults = parse_tags("image,tags\nu\u2028,cat\n\xa0b,cat\n", {"cat": 1})
    assert table == {} and [kind for kind, _ in faults] == ["name not usable"] * 2
