"Folders of very many photos: what opens, what is refused, and what is asked of the disk."

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from data_folder import make_folder

from swsss.photos import check, lists
from swsss.photos.check import FolderError
from swsss.photos.files import MIN_LISTED, change_stamp, change_stamps
from swsss.photos.folder import VOCFolder, read_split
from swsss.photos.images import VOC_CLASSES
from swsss.photos.lists import TooLarge

MANY = 300_000


@pytest.fixture
def many(root):
    "The made-up folder with 300,000 names in trainaug.txt and tags.csv; photos are there for a few."
    own = VOCFolder(root).listed("train")
    names = own + [f"photo {i}" for i in range(MANY - len(own))]
    classes = [name for name in (root / "classes.txt").read_text(encoding="utf-8").split("\n") if name]
    (root / "ImageSets/Segmentation/trainaug.txt").write_text("\n".join(names), encoding="utf-8")
    rows = (f"{name},{classes[1 + i % (len(classes) - 1)]}" for i, name in enumerate(names))
    (root / "tags.csv").write_text("image,tags\n" + "\n".join(rows), encoding="utf-8")
    return root, names


def test_three_hundred_thousand_names_open(many):
    root, names = many
    folder = VOCFolder(root)
    assert f"{MANY:,} trainaug" in repr(folder) and folder.listed("trainaug") == names and not folder.faults
    tags = folder.tag_matrix(names)
    assert tags.shape == (MANY, folder.num_classes) and tags.dtype == bool and (tags.sum(1) == 2).all()
    some = names[:: MANY // 7]
    assert (tags[:: MANY // 7] == [folder.tags(name) for name in some]).all()
    tags[:] = False
    assert folder.tags(names[0]).any(), "a matrix is a copy"


@pytest.mark.parametrize("file", ["ImageSets/Segmentation/trainaug.txt", "tags.csv"])
@pytest.mark.parametrize("limit", ["MAX_PHOTOS", "MAX_LIST_BYTES"])
def test_a_folder_beyond_a_limit_does_not_open_with_part_of_its_photos(root, monkeypatch, file, limit):
    text = (root / file).read_text(encoding="utf-8")
    (root / file).write_text(text + "\n" * 200, encoding="utf-8")
    monkeypatch.setattr(lists, limit, 190)
    monkeypatch.setattr("swsss.photos.folder.MAX_LIST_BYTES", lists.MAX_LIST_BYTES)
    with pytest.raises(TooLarge, match=r"(divide it into several folders|is this the right file)") as error:
        VOCFolder(root)
    assert str(root / file) in str(error.value) and "\n" not in str(error.value)


def test_a_split_beyond_the_limit_is_refused(root, monkeypatch):
    folder, split = VOCFolder(root), root.parent / "mine.txt"
    split.write_text("\n" * 200, encoding="utf-8")
    monkeypatch.setattr(lists, "MAX_PHOTOS", 190)
    with pytest.raises(TooLarge, match="divide it into several folders"):
        read_split(folder, split)


def test_tags_as_json_beyond_the_limit_are_read_by_line_or_name_the_table_to_write(root, monkeypatch):
    names = VOCFolder(root).names
    (root / "tags.csv").write_text(json.dumps({name: ["disc"] for name in names}), encoding="utf-8")
    expected = VOCFolder(root).table
    monkeypatch.setattr(lists, "MAX_JSON", 100)
    monkeypatch.setattr(lists, "MAX_ROW", 100)
    with pytest.raises(FolderError, match=r"one record a line; else save it as a table"):
        VOCFolder(root).check(progress=False)
    records = (json.dumps({"image": name, "tags": ["disc"]}) for name in names)
    (root / "tags.csv").write_text("\n".join(records), encoding="utf-8")
    assert VOCFolder(root).table == expected and len(expected) == len(names)


def test_a_row_that_does_not_end_is_named(root, monkeypatch):
    "Each cell is small, and a quotation mark hides each line end."
    (root / "tags.csv").write_text("image,tags\na," + '"x\n","y",' * 2000, encoding="utf-8")
    monkeypatch.setattr(lists, "MAX_ROW", 1000)
    with pytest.raises(FolderError, match=r"a row of more than .* is a quotation mark left open"):
        VOCFolder(root).check(progress=False)


def test_a_long_table_of_another_name_is_found_by_its_first_lines(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "voc").root
    rows = (root / "tags.csv").read_text(encoding="utf-8")
    shutil.rmtree(root / "ImageSets")
    (root / "tags.csv").unlink()
    (root / "what is seen.csv").write_text(rows, encoding="utf-8")
    expected = VOCFolder(root).table
    monkeypatch.setattr(lists, "MAX_TEXT_BYTES", len(rows) - 1)
    assert VOCFolder(root).table == expected and expected


def fingerprint_of_0_2(folder):
    "As versions up to 0.2 wrote it, file by file."
    digest = hashlib.sha256(json.dumps([folder.classes, folder._lists]).encode())
    for name in folder.names:
        image, mask = folder.image_path(name), folder.mask_path(name)
        source = folder.tag_source(name)
        tags = source if source in ("", "mask") else np.flatnonzero(folder.tags(name)).tolist()
        sizes = image.stat().st_size, mask.stat().st_size if mask and mask.is_file() else None
        digest.update(json.dumps([name, image.name, *sizes, tags]).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("tags", ["table", "annotations", "masks"])
def test_fingerprints_stay_those_of_older_versions(root, tags):
    names = VOCFolder(root).names
    for old, new in zip(names[:2], ("Zürich \N{BEER MUG}", 'a"b\\c'), strict=True):
        for path in [*root.glob(f"JPEGImages/{old}.*"), *root.glob(f"SegmentationClass/{old}.png")]:
            path.rename(path.with_name(f"{new}{path.suffix}"))
        for path in (root / "tags.csv", *root.glob("ImageSets/Segmentation/*.txt")):
            lines = path.read_text(encoding="utf-8").split("\n")
            quoted = '"' + new.replace('"', '""') + '"' if path.suffix == ".csv" else new
            lines = [quoted + line[len(old) :] if line.split(",")[0] == old else line for line in lines]
            path.write_text("\n".join(lines), encoding="utf-8")
    if tags != "table":
        (root / "tags.csv").unlink()
    if tags == "annotations":
        (root / "Annotations").mkdir()
        xml = "<annotation><object><name>{}</name></object></annotation>"
        for name in names[2:]:
            text = xml.format(VOCFolder(root).classes[1])
            (root / f"Annotations/{name}.xml").write_text(text, encoding="utf-8")
    folder = VOCFolder(root)
    (root / "labels").mkdir()
    shutil.copyfile(next(iter(folder.mask_files.values()))[0], root / "labels" / f"{names[3]}.png")
    views = [folder, *(folder.with_labels(place, keep=names[:1]) for place in (None, root / "labels"))]
    assert len({view.fingerprint() for view in views}) > 1
    assert [view.fingerprint() for view in views] == [fingerprint_of_0_2(view) for view in views]


@pytest.fixture
def unlisted(tmp_path, monkeypatch):
    "A folder of more photos than are asked for one by one."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_folder(tmp_path / "voc").root
    names, rows = VOCFolder(root).names, (root / "tags.csv").read_text(encoding="utf-8").split("\n")
    more = [f"more {i}" for i in range(2 * MIN_LISTED)]
    for name in more:
        shutil.copyfile(root / f"JPEGImages/{names[0]}.jpg", root / f"JPEGImages/{name}.jpg")
    with open(root / "ImageSets/Segmentation/trainaug.txt", "a", encoding="utf-8") as file:
        file.write("".join(f"\n{name}" for name in more))
    (root / "tags.csv").write_text("\n".join([*filter(None, rows), *(f"{n},disc" for n in more)]), encoding="utf-8")
    return root


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no numbers of files in its listings")
def test_an_unchanged_folder_is_listed_and_no_photo_is_asked_for(unlisted, monkeypatch):
    first = VOCFolder(unlisted).check(progress=False)
    asked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, **how: (asked.append(str(path)), stat(path, **how))[1])
    folder = VOCFolder(unlisted)
    assert folder.check(progress=False) == first
    folder.fingerprint()
    assert not [path for path in asked if path.endswith(".jpg")]


def test_stamps_are_the_same_listed_and_one_by_one(unlisted):
    paths = [str(path) for path in (unlisted / "JPEGImages").iterdir()]
    os.symlink(paths[0], unlisted / "JPEGImages/link.jpg")
    os.symlink("nowhere", unlisted / "JPEGImages/broken.jpg")
    links = [str(unlisted / f"JPEGImages/{name}.jpg") for name in ("link", "broken", "not there")]
    expected = [change_stamp(os.stat(path)) for path in [*paths, links[0]]] + [(-1,) * 4] * 2
    assert len(paths) > MIN_LISTED and list(map(tuple, change_stamps([*paths, *links]).tolist())) == expected
    assert [tuple(change_stamps([path])[0].tolist()) for path in [*paths, *links]] == expected


def test_what_is_known_of_other_photos_stays_where_one_has_changed(unlisted, monkeypatch):
    "However many there are."
    examined, examine = [], check.examine
    monkeypatch.setattr(check, "examine", lambda path, *how: (examined.append(path), examine(path, *how))[1])
    monkeypatch.setattr(check, "_CACHE_FILES", 2)
    VOCFolder(unlisted).check(progress=False)
    changed = unlisted / "JPEGImages/more 7.jpg"
    shutil.copyfile(unlisted / "JPEGImages/b.jpg", changed)
    for expected in ([changed], []):
        examined.clear()
        VOCFolder(unlisted).check(progress=False)
        assert examined == expected


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.99])
def test_a_cache_that_was_cut_off_is_none(unlisted, part):
    first = VOCFolder(unlisted).check(progress=False)
    (cache,) = (unlisted.parent / "cache/swsss").iterdir()
    cache.write_bytes(cache.read_bytes()[: int(part * cache.stat().st_size)])
    assert VOCFolder(unlisted).check(progress=False) == first


def test_photos_with_the_same_tags_share_them():
    text = "image,tags\n" + "".join(f"{i},{VOC_CLASSES[1 + i % 20]};{VOC_CLASSES[1 + i % 7]}\n" for i in range(50_000))
    assert lists.tags_named(text) == sorted(VOC_CLASSES[1:])
    table, faults = lists.parse_tags(text, {name: k for k, name in enumerate(VOC_CLASSES)})
    assert len({id(indices) for indices in table.values()}) <= 140 and not faults
