"Everything that `VOCFolder.check` promises to notice, one fault at a time; and what it promises to read."

import errno
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
from data_folder import LISTS, SIZE, make_folder
from PIL import Image

from swsss.photos import check
from swsss.photos.check import FolderError
from swsss.photos.files import project_path, write_whole
from swsss.photos.folder import VOCFolder, open_folder, read_split, remap_masks
from swsss.photos.images import IMAGE_SUFFIXES, read_labels, voc_palette, write_labels
from swsss.photos.lists import label_maps, parse_list


def problems(root, **options):
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False, **options)
    return caught.value.problems


def only(root, kind, *words, **options):
    "The one fault of one kind that check() finds, which names the file."
    found = problems(root, **options)
    assert set(found) == {kind}, found
    assert len(found[kind]) == 1
    assert all(word in found[kind][0] for word in words), found[kind][0]


def edit(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def picture(mode="RGB", size=SIZE):
    return Image.new(mode, size[::-1])


def test_whole_folder_passes(root):
    assert VOCFolder(root).check(progress=False) == []
    assert VOCFolder(root).check(progress=False, deep=True) == []


# images


def test_image_missing(root):
    (root / "JPEGImages/f.jpg").unlink()
    only(root, "image missing", "f")


def test_image_empty(root):
    (root / "JPEGImages/f.jpg").write_bytes(b"")
    only(root, "image empty", "JPEGImages/f.jpg")


@pytest.mark.parametrize("keep", [1, 20, 200, -1, -2, -30])
def test_image_truncated(root, keep):
    path = root / "JPEGImages/f.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    only(root, "image damaged", "JPEGImages/f.jpg")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        VOCFolder(root).image("f")


@pytest.mark.parametrize("keep", [8, 40, 100, -5, -12])
def test_png_image_truncated(root, keep):
    (root / "JPEGImages/f.jpg").unlink()
    path = root / "JPEGImages/f.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    assert VOCFolder(root).check(progress=False) == []
    path.write_bytes(path.read_bytes()[:keep])
    only(root, "image damaged", "JPEGImages/f.png")


def test_image_damaged_inside_is_found_by_the_deep_check(root):
    (root / "JPEGImages/f.jpg").unlink()
    path = root / "JPEGImages/f.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 40] = bytes(40)
    path.write_bytes(whole)
    assert VOCFolder(root).check(progress=False) == []
    only(root, "image damaged", "JPEGImages/f.png", deep=True)
    only(root, "image damaged", "JPEGImages/f.png")  # known from then on


def test_image_is_text(root):
    (root / "JPEGImages/f.jpg").write_text("<html>404</html>", encoding="utf-8")
    only(root, "image damaged", "JPEGImages/f.jpg")


def test_image_of_another_format_is_refused_whatever_its_name(root):
    picture().save(root / "JPEGImages/f.jpg", format="GIF")
    only(root, "image damaged", "JPEGImages/f.jpg", "JPEG or PNG")


def test_png_called_jpg_is_read(root):
    picture().save(root / "JPEGImages/f.jpg", format="PNG")
    assert VOCFolder(root).check(progress=False) == []
    assert VOCFolder(root).image("f").shape == (*SIZE, 3)


def test_image_is_a_folder(root):
    (root / "JPEGImages/f.jpg").unlink()
    (root / "JPEGImages/f.jpg").mkdir()
    only(root, "image damaged", "JPEGImages/f.jpg")


def test_two_images_of_one_name(root):
    picture().save(root / "JPEGImages/f.png")
    only(root, "image twice", "f.jpg, f.png")


def test_cmyk(root):
    picture("CMYK").save(root / "JPEGImages/f.jpg")
    only(root, "image CMYK", "JPEGImages/f.jpg")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_read_by_their_upper_eight(root, channels, suffix):
    cv2 = pytest.importorskip("cv2")
    (root / "JPEGImages/f.jpg").unlink()
    values = np.random.default_rng(0).integers(0, 2**16, (*SIZE, channels), dtype=np.uint16)
    cv2.imwrite(str(root / f"JPEGImages/f.{suffix}"), values)
    folder = VOCFolder(root)
    assert "1 photo(s) of 16 bits a channel, read by their upper eight (value // 256)" in folder.check(progress=False)
    blue_first = values[..., [2, 1, 0]] if channels > 1 else values[..., [0, 0, 0]]
    assert (folder.image("f") == blue_first // 256).all()


def test_12_bits_in_16_are_noticed_and_the_remedy_works(root):
    cv2 = pytest.importorskip("cv2")
    (root / "JPEGImages/f.jpg").unlink()
    values = np.linspace(0, 4095, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    cv2.imwrite(str(root / "JPEGImages/f.png"), values)
    before = (root / "JPEGImages/f.png").read_bytes()
    dark = next(line for line in VOCFolder(root).check(progress=False) if "nearly black" in line)
    subprocess.run([sys.executable, "-c", remedy_of(dark)], check=True, capture_output=True)
    assert np.abs(VOCFolder(root).image("f")[..., 0] - values / 4095 * 255).max() <= 0.51
    assert (root / "JPEGImages-before/f.png").read_bytes() == before
    assert VOCFolder(root).check(progress=False) == ["1 greyscale image(s), read as three equal channels"]


def test_floats_and_cmyk_are_refused_and_the_remedy_works(root):
    (root / "JPEGImages/f.jpg").unlink()
    Image.fromarray(np.linspace(0, 0.5, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)).save(
        root / "JPEGImages/f.tif"
    )
    Image.new("CMYK", SIZE[::-1], (0, 255, 255, 0)).save(root / "JPEGImages/g.jpg")
    with pytest.raises(FolderError) as refused:
        VOCFolder(root).check(progress=False)
    assert set(refused.value.problems) == {"image 32-bit", "image CMYK"}
    subprocess.run([sys.executable, "-c", remedy_of(refused.value)], check=True, capture_output=True)
    VOCFolder(root).check(progress=False)
    shown = VOCFolder(root).image("f")
    assert (shown.min(), shown.max()) == (0, 255)
    assert VOCFolder(root).image("g")[0, 0].argmax() == 0  # red


def test_greyscale_is_read_as_three_channels(root):
    Image.fromarray(np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).astype(np.uint8).reshape(SIZE)).save(
        root / "JPEGImages/f.jpg"
    )
    folder = VOCFolder(root)
    assert folder.check(progress=False) == ["1 greyscale image(s), read as three equal channels"]
    image = folder.image("f")
    assert (
        image.shape == (*SIZE, 3) and (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_dropped(root, mode):
    (root / "JPEGImages/f.jpg").unlink()
    image = Image.new("RGBA", SIZE[::-1], (10, 20, 30, 0)).convert(mode)
    image.save(root / "JPEGImages/f.png", **({"transparency": 0} if mode == "P" else {}))
    folder = VOCFolder(root)
    assert "1 image(s) with alpha" in " ".join(folder.check(progress=False))
    shown = folder.image("f")
    assert shown.shape == (*SIZE, 3) and (shown == shown[0, 0]).all()
    if mode == "RGBA":
        assert shown[0, 0].tolist() == [10, 20, 30]


def rotated(path, orientation=6):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(size=SIZE[::-1] if orientation > 4 else SIZE).save(path, exif=exif)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_rotation_is_applied_and_masks_are_upright(root, suffix):
    (root / "JPEGImages/a.jpg").unlink()
    rotated(root / f"JPEGImages/a.{suffix}")
    folder = VOCFolder(root)
    assert "1 image(s) with EXIF orientation" in " ".join(folder.check(progress=False))
    assert folder.image("a").shape[:2] == folder.labels("a").shape == SIZE


def test_mask_of_a_photo_as_stored_is_told_apart(root):
    rotated(root / "JPEGImages/a.jpg")
    write_labels(root / "SegmentationClass/a.png", np.zeros(SIZE[::-1], int))
    only(root, "mask of another size", "SegmentationClass/a.png", "before its EXIF orientation")


# masks


def test_mask_missing_for_a_strong_image(root):
    (root / "SegmentationClass/b.png").unlink()
    only(root, "mask missing", "b.png")
    assert VOCFolder(root).check(strong=["a"], progress=False) == []  # then nobody needs it


def test_mask_missing_in_val(root):
    (root / "SegmentationClass/y.png").unlink()
    only(root, "mask missing", "y.png")


def test_mask_of_another_size(root):
    write_labels(root / "SegmentationClass/b.png", np.zeros((24, 31), int))
    only(root, "mask of another size", "SegmentationClass/b.png", "24 x 31", "24 x 32")


@pytest.mark.parametrize("index", [3, 100, 254])
def test_mask_with_an_index_that_is_no_class(root, index):
    write_labels(root / "SegmentationClass/b.png", np.full(SIZE, index))
    only(root, "mask with unknown index", "SegmentationClass/b.png", str(index))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_mask_not_indexed(root, mode):
    picture(mode).save(root / "SegmentationClass/b.png")
    only(root, "mask not indexed", "SegmentationClass/b.png")


def test_mask_is_a_jpeg(root):
    picture("L").save(root / "SegmentationClass/b.png", format="JPEG")
    only(root, "mask damaged", "SegmentationClass/b.png")


@pytest.mark.parametrize("keep", [0, 10, 60, -20])
def test_mask_truncated(root, keep):
    path = root / "SegmentationClass/b.png"
    path.write_bytes(path.read_bytes()[:keep])
    only(root, "mask damaged", "SegmentationClass/b.png")


def test_greyscale_mask_is_read(root):
    labels = VOCFolder(root).labels("b")
    Image.fromarray(labels).save(root / "SegmentationClass/b.png")
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert (folder.labels("b") == labels).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_mask_of_few_bits_is_read(root, bits):
    labels = np.random.default_rng(0).integers(0, min(3, 2**bits), SIZE).astype(np.uint8)
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    image.save(root / "SegmentationClass/b.png", bits=bits)
    assert (VOCFolder(root).labels("b") == labels).all()


def test_mask_that_shows_more_than_the_tags_is_noted(root):
    edit(root / "tags.csv", lambda text: text.replace("b,disc;square", "b,disc"))
    assert "1 mask(s) that show a class which is not" in VOCFolder(root).check(progress=False)[0]


# labels of images


def test_image_without_tags(root):
    edit(root / "tags.csv", lambda text: text.replace("\nf,", "\nother,"))
    only(root, "image without tags", "f")


def test_tag_that_is_no_class(root):
    edit(root / "tags.csv", lambda text: text.replace("f,disc", "f,disk"))
    only(root, "tag not a class", "tags.csv: line 7: f: disk is not a class (disc?)")


def test_two_rows_for_one_image(root):
    edit(root / "tags.csv", lambda text: text + "\nf,disc")
    only(root, "name twice", "tags.csv: line 13", "f")


def test_rows_for_unlisted_images_are_left_out(root):
    edit(root / "tags.csv", lambda text: text + "\nother,disc")
    assert VOCFolder(root).check(progress=False) == ["1 row(s) of tags.csv for images in none of the lists, left out"]


@pytest.mark.parametrize(
    "text", ["", "a,disc", "Bild;Schlagworte\na;disc", "image,tags\na,disc,square", 'image,tags\na,"' + "x" * 200_000]
)
def test_table_that_is_none(root, text):
    (root / "tags.csv").write_text(text, encoding="utf-8")
    assert "table not usable" in problems(root)


def test_table_written_by_windows(root):
    tags = [VOCFolder(root).tags(name).tolist() for name in VOCFolder(root).names]
    text = (root / "tags.csv").read_text(encoding="utf-8")
    (root / "tags.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert [folder.tags(name).tolist() for name in folder.names] == tags


def test_annotations(root):
    (root / "tags.csv").unlink()
    (root / "Annotations").mkdir()
    for name in VOCFolder(root).names:
        (root / f"Annotations/{name}.xml").write_text(
            "<annotation><object><name>disc</name></object></annotation>", encoding="utf-8"
        )
    folder = VOCFolder(root)
    folder.check(progress=False)
    assert folder.tags("f").tolist() == [True, True, False]
    (root / "Annotations/f.xml").write_text(
        "<annotation><object><name>disk</name></object></annotation>", encoding="utf-8"
    )
    only(root, "tag not a class", "Annotations/f.xml", "disk is not a class (disc?)")
    (root / "Annotations/f.xml").write_text("<annotation><object>", encoding="utf-8")
    only(root, "annotation not usable", "Annotations/f.xml")
    (root / "Annotations/f.xml").unlink()
    only(root, "image without tags", "f")


def test_tags_from_masks_need_good_masks(root):
    (root / "tags.csv").unlink()
    for name in "efgh":
        shutil.copy(root / "SegmentationClass/a.png", root / f"SegmentationClass/{name}.png")
    assert "tags come from their masks" in VOCFolder(root).check(progress=False)[0]
    (root / "SegmentationClass/f.png").write_bytes(b"")
    only(root, "mask damaged", "SegmentationClass/f.png")


# lists and names


@pytest.mark.parametrize("which", ["train", "val"])
def test_list_missing(root, which):
    (root / f"ImageSets/Segmentation/{which}.txt").unlink()
    assert f"{which}.txt" in problems(root)["list not usable"][0]


def test_trainaug_is_train_where_it_is_missing(root):
    (root / "ImageSets/Segmentation/trainaug.txt").unlink()
    assert VOCFolder(root).listed("trainaug") == list(LISTS["train"])


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff"])
def test_list_empty(root, text):
    (root / "ImageSets/Segmentation/val.txt").write_text(text, encoding="utf-8")
    only(root, "list empty", "val.txt")


def test_list_not_utf8(root):
    (root / "ImageSets/Segmentation/val.txt").write_bytes("x\ny\nz\n".encode("utf-16"))
    only(root, "list not usable", "val.txt", "UTF-8")


def test_name_twice_in_a_list(root):
    edit(root / "ImageSets/Segmentation/train.txt", lambda text: text + "b\n")
    only(root, "name twice", "train.txt: line 5: b is there already, in line 2")


def test_lists_written_by_windows(root):
    path = root / "ImageSets/Segmentation/train.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert folder.listed("train") == list(LISTS["train"])


@pytest.mark.parametrize("name", ["my photo", "Zürich", "写真 1", "a.b.c", "x-1,2", "f'", 'q"uote', "🌻"])
def test_spaces_and_unicode_in_names(root, name):
    (root / "JPEGImages/f.jpg").rename(root / f"JPEGImages/{name}.jpg")
    for path in (root / "ImageSets/Segmentation/trainaug.txt", root / "tags.csv"):
        quoted = f'"{name.replace(chr(34), chr(34) * 2)}"' if path.suffix == ".csv" else name
        edit(path, lambda text, quoted=quoted: text.replace("\nf", f"\n{quoted}"))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert folder.image(name).shape == (*SIZE, 3)
    assert folder.tags(name).tolist() == [True, True, True]


def test_names_as_macos_stores_them(root):
    (root / "JPEGImages/f.jpg").rename(root / "JPEGImages/Zu\u0308rich.jpg")
    for path in (root / "ImageSets/Segmentation/trainaug.txt", root / "tags.csv"):
        edit(path, lambda text: text.replace("\nf", "\nZ\u00fcrich"))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert folder.image("Z\u00fcrich").shape == (*SIZE, 3)


@pytest.mark.parametrize(
    "name", ["../x", "..", "/etc/passwd", "a/../../x", "..\\x", "C:\\x", "sub/x", ".hidden", "a\0b"]
)
def test_names_that_climb_out(root, name):
    edit(root / "ImageSets/Segmentation/trainaug.txt", lambda text: text + name)
    only(root, "name not usable", "trainaug.txt: line 9")
    assert VOCFolder(root).names == list(LISTS["trainaug"] + LISTS["val"])


def test_trained_on_and_evaluated_on(root):
    edit(root / "ImageSets/Segmentation/val.txt", lambda text: text + "b\n")
    only(root, "trained on and evaluated on", "b: in val.txt and in train.txt and trainaug.txt")


@pytest.mark.parametrize("text", ["", "disc\nsquare", "background", "background\na\na", "background\na;b"])
def test_classes(root, text):
    (root / "classes.txt").write_text(text, encoding="utf-8")
    assert "classes not usable" in problems(root)


# the report


def test_report_names_everything_and_stays_short(root):
    names = [f"n{i:03}" for i in range(530)]
    edit(root / "ImageSets/Segmentation/trainaug.txt", lambda text: text + "\n".join(names))
    edit(root / "tags.csv", lambda text: text + "".join(f"\n{name}," for name in names))
    (root / "JPEGImages/a.jpg").write_bytes(b"")
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False)
    lines = str(caught.value).splitlines()
    assert "531 problems" in lines[0] and str(root) in lines[0]
    assert lines[1].startswith("image missing (530): put the file into JPEGImages")
    assert lines[20].strip() == "... and 512 more"
    assert lines[21].startswith("image empty (1)") and len(lines) == 23
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_only_what_will_be_used_is_checked(root):
    (root / "JPEGImages/f.jpg").write_bytes(b"")
    assert VOCFolder(root).check(names=list("abcde"), progress=False) == []


# the cache


def test_second_check_opens_no_image(root, monkeypatch):
    VOCFolder(root).check(progress=False)
    monkeypatch.setattr(check, "examine", lambda *_: pytest.fail("examined again"))
    assert VOCFolder(root).check(progress=False) == []


def test_changed_file_is_looked_at_again(root):
    VOCFolder(root).check(progress=False)
    (root / "JPEGImages/f.jpg").write_bytes(b"x")
    only(root, "image damaged", "f.jpg")
    picture().save(root / "JPEGImages/f.jpg")
    assert VOCFolder(root).check(progress=False) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": [0, 0]}', '{"version": [1, 67108864], "files": 3}'])
def test_damaged_cache_is_no_cache(root, text):
    VOCFolder(root).check(progress=False)
    (cache,) = (root.parent / "cache/swsss").iterdir()
    cache.write_text(text, encoding="utf-8")
    assert VOCFolder(root).check(progress=False) == []


def test_read_only_data_and_no_place_for_the_cache(root, monkeypatch):
    blocked = root.parent / "a file"
    blocked.write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    before = sorted(root.rglob("*"))
    for path in [root, *before]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    try:
        assert VOCFolder(root).check(progress=False) == []
        assert sorted(root.rglob("*")) == before
    finally:
        for path in [root, *before]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


# masks of weak images


def opened_during(action):
    "The files that Python code opens while `action()` runs."
    opened, active = [], [True]
    sys.addaudithook(lambda event, args: opened.append(args[0]) if active[0] and event == "open" else None)
    action()
    active[0] = False
    return {os.fspath(path) for path in opened if isinstance(path, (str, os.PathLike))}


def test_masks_of_weak_images_are_not_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_folder(tmp_path / "voc", masks="abcdefghxyz").root  # every image has one
    folder = VOCFolder(root)

    def use():
        folder.check(strong=read_split(folder, 2), progress=False)
        folder.fingerprint()
        for name in folder.names:
            folder.tags(name), folder.image(name), folder.has_mask(name)

    opened = opened_during(use)
    masks = {name for name in folder.names if str(root / f"SegmentationClass/{name}.png") in opened}
    assert masks == set("abxyz")  # two strong, three to judge on
    assert str(root / "JPEGImages/f.jpg") in opened  # the hook does see files
    held = folder.with_labels(None, keep=["a", "b"])
    with pytest.raises(PermissionError, match="held back"):
        held.labels("c")
    assert held.check(strong=["a", "b"], progress=False) == []


def test_check_of_a_view_looks_at_its_labels(root):
    labels = root.parent / "labels"
    for name in LISTS["trainaug"]:
        write_labels(labels / f"{name}.png", np.zeros(SIZE, int))
    view = VOCFolder(root).with_labels(labels, keep="abcd")
    assert view.check(strong=LISTS["trainaug"], progress=False) == []
    write_labels(labels / "f.png", np.zeros((2, 2), int))
    with pytest.raises(FolderError, match=r"f[.]png: 2 x 2"):
        view.check(strong=LISTS["trainaug"], progress=False)
    view.check(progress=False)  # by default the strong images' masks only


# splits and paths


@pytest.mark.parametrize("split", [0, -1, 5, "5", "0@1", "9@1", "no such list", "", True, 1.5, None, [1]])
def test_impossible_splits(root, split):
    with pytest.raises((ValueError, TypeError, FileNotFoundError)):
        read_split(VOCFolder(root), split)


def test_published_lists_are_read(tmp_path):
    lists = project_path("../shared/voc_splits")
    if not lists.is_dir():
        pytest.skip("the published lists are not there")
    for number in (92, 183, 366, 732, 1464):
        names, faults = parse_list((lists / f"{number}/labeled.txt").read_text(encoding="utf-8"))
        assert len(names) == number and not faults


def test_clothing_co_parsing(tmp_path, monkeypatch):
    root = project_path("../shared/ccp")
    if not root.is_dir():
        pytest.skip("Clothing Co-Parsing is not there")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = VOCFolder(root)
    assert folder.check(progress=False, deep=True) == []
    assert (folder.num_classes, len(folder.names)) == (15, 1898)
    assert len(read_split(folder, 92)) == 92 and read_split(folder, "all") == folder.listed("train")


def test_project_path_from_notebooks_and_from_elsewhere(tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "nbs").mkdir(parents=True)
    (project / "settings.ini").write_text("[DEFAULT]\nlib_name = swsss\n", encoding="utf-8")
    other = project / "nbs" / "other"
    other.mkdir()
    (other / "settings.ini").write_text("[DEFAULT]\nlib_name = something\n", encoding="utf-8")
    for here in (project, project / "nbs", other):
        monkeypatch.chdir(here)
        assert project_path("data") == project / "data"
    (other / "settings.ini").write_bytes(b"\xff no ini")
    assert project_path("data") == project / "data"
    monkeypatch.chdir(tmp_path)
    assert project_path("data") == tmp_path / "data"


def test_fingerprint_is_of_the_data_only(root, tmp_path):
    first = VOCFolder(root).fingerprint()
    shutil.copytree(root, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (time.time() + 100, time.time() + 100))
    assert VOCFolder(tmp_path / "copy").fingerprint() == first
    changes = {
        "classes.txt": lambda text: text.replace("disc", "disk"),
        "tags.csv": lambda text: text.replace("f,disc;square", "f,disc"),
        "ImageSets/Segmentation/train.txt": lambda text: "b\na\nc\nd\n",
    }
    for file, change in changes.items():
        shutil.copytree(root, tmp_path / "changed")
        edit(tmp_path / "changed" / file, change)
        if file == "classes.txt":
            edit(tmp_path / "changed/tags.csv", lambda text: text.replace("disc", "disk"))
        assert VOCFolder(tmp_path / "changed").fingerprint() != first, file
        shutil.rmtree(tmp_path / "changed")
    (root / "SegmentationClass/f.png").write_bytes(b"new")
    assert VOCFolder(root).fingerprint() != first


# writing


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SystemExit(1)])
def test_write_whole_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"old")

    def fails(unfinished):
        assert unfinished.parent == tmp_path and unfinished.suffix == ".bin"
        unfinished.write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, fails)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.bin"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_write_whole_when_the_disk_fails(tmp_path, monkeypatch, step):
    path = tmp_path / "x.txt"
    path.write_text("old", encoding="utf-8")

    def fails(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, fails)
    with pytest.raises(OSError, match="Input/output"):
        write_whole(path, lambda unfinished: unfinished.write_text("new", encoding="utf-8"))
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"] and path.read_text(encoding="utf-8") == "old"


def test_write_whole_flushes_before_it_renames(tmp_path, monkeypatch):
    steps, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    write_whole(tmp_path / "x", lambda unfinished: unfinished.write_text("new", encoding="utf-8"))
    assert steps == ["fsync", "replace", "fsync"]


def test_write_whole_without_a_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "x", lambda unfinished: None)
    assert list(tmp_path.iterdir()) == []


def test_saved_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    write_labels(tmp_path / "x.png", np.zeros((2, 2), int))
    assert (tmp_path / "x.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_side_that_opencv_cannot_turn(root):
    "67 million pixels are fewer than 40,000 x 40,000, but one side alone can be too long."
    Image.new("L", (20_000, 3)).save(root / "JPEGImages/f.jpg")
    only(root, "image too large", "JPEGImages/f.jpg: 20,000 x 3, a side longer than 16,383 pixels")
    Image.new("L", (16_383, 3)).save(root / "JPEGImages/f.jpg")
    assert VOCFolder(root).check(progress=False) == ["1 greyscale image(s), read as three equal channels"]


def test_folders_that_cannot_be_flushed_are_written_all_the_same(tmp_path, monkeypatch):
    fsync = os.fsync

    def invalid_on_folders(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", invalid_on_folders)
    write_whole(tmp_path / "x", lambda unfinished: unfinished.write_text("new", encoding="utf-8"))
    assert (tmp_path / "x").read_text(encoding="utf-8") == "new"


def test_text_is_read_and_written_alike_in_every_locale(tmp_path):
    "Python warns of every text file opened without an encoding; here such a warning is an error."
    code = f"""
import warnings
warnings.filterwarnings("error", category=EncodingWarning, module="swsss")
from swsss.photos.folder import open_folder
from swsss.photos.demo import draw_demo
open_folder({str(make_folder(tmp_path / "voc").root)!r}).check()
draw_demo({str(tmp_path / "demo")!r}, strong=2, weak=1, val=1)
"""
    strict = ["-X", "warn_default_encoding"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "LC_ALL": "C", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, *strict, "-c", code], check=True, env=environment)


# what others write, and what is said of it


@pytest.mark.parametrize("name", ["f.webp", "f.jpg", "f.WEBP"])
def test_webp_is_read_whatever_it_is_called(root, name):
    (root / "JPEGImages/f.jpg").unlink()
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / f"JPEGImages/{name}", format="WEBP", lossless=True)
    edit(root / "ImageSets/Segmentation/trainaug.txt", lambda text: text.replace("f\n", "JPEGImages/f.webp\n"))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == [] and (folder.image("f") == pixels).all()
    path = root / f"JPEGImages/{name}"
    path.write_bytes(path.read_bytes()[:-30])
    only(root, "image damaged", f"JPEGImages/{name}")


@pytest.mark.parametrize(
    "there", ["JPEGImages/f.dng", "JPEGImages/F.jpg", "JPEGImages/2019/f.jpg", "JPEGImages/2019/may/f.JPG"]
)
def test_photo_that_is_there_in_another_way_is_named(root, there):
    (root / there).parent.mkdir(parents=True, exist_ok=True)
    (root / "JPEGImages/f.jpg").rename(root / there)
    only(root, "image missing", f"f: no {', '.join(IMAGE_SUFFIXES)} of this name; {there} is there")


def test_names_in_subfolders_are_refused_with_a_name_that_works(root):
    edit(root / "ImageSets/Segmentation/trainaug.txt", lambda text: text + "JPEGImages/2019/x.jpg\n")
    advice = "2019/x: subfolders are not read; move this file up into JPEGImages as 2019_x"
    only(root, "name not usable", "trainaug.txt: line 9", advice)


def test_command_that_moves_photos_out_of_subfolders(root, tmp_path):
    "As it stands in data/README.md."
    command = re.search(r'python -c "(.+?)"\n', project_path("data/README.md").read_text(encoding="utf-8"), re.DOTALL)[
        1
    ]
    for year in ("2019", "2020"):
        (root / f"JPEGImages/{year}").mkdir()
        shutil.copy(root / "JPEGImages/a.jpg", root / f"JPEGImages/{year}/x.jpg")
    (root / "JPEGImages/2020/may").mkdir()
    shutil.copy(root / "JPEGImages/a.jpg", root / "JPEGImages/2020/may/y.jpg")
    subprocess.run([sys.executable, "-c", command], check=True, cwd=root)
    assert {"2019_x.jpg", "2020_x.jpg", "2020_may_y.jpg", "a.jpg"} <= {
        path.name for path in (root / "JPEGImages").glob("*.*")
    }
    assert not list(root.glob("JPEGImages/*/**/*.jpg"))


@pytest.mark.parametrize("cell", ['"disc, square"', "disc|square"])
def test_tags_joined_by_a_comma_or_a_bar(root, cell):
    edit(root / "tags.csv", lambda text: text.replace("f,disc;square", f"f,{cell}"))
    assert VOCFolder(root).check(progress=False) == []
    assert VOCFolder(root).tags("f").all()


@pytest.mark.parametrize("cell", ['"disc,square,dics"', "disc/square"])
def test_tags_joined_by_something_else(root, cell):
    edit(root / "tags.csv", lambda text: text.replace("f,disc;square", f"f,{cell}"))
    only(root, "tag not a class", "tags.csv: line 7: f: ", "is not a class (tags are joined by semicolons: disc;square")


def decomposed(text):
    return unicodedata.normalize("NFD", text)


def test_names_and_endings_in_any_form(root):
    "Lists, tables and files may each store accents in their own way, and end in capitals."
    names = ["Zürich", "é", "ü x"]
    for old, name in zip("abf", names, strict=True):
        (root / f"JPEGImages/{old}.jpg").rename(root / f"JPEGImages/{decomposed(name)}.JPG")
        if old in "ab":
            (root / f"SegmentationClass/{old}.png").rename(root / f"SegmentationClass/{decomposed(name)}.PNG")
        for which in LISTS:
            edit(
                root / f"ImageSets/Segmentation/{which}.txt",
                lambda text, o=old, n=name: text.replace(f"{o}\n", f"{n}\n"),
            )
        edit(root / "tags.csv", lambda text, o=old, n=name: text.replace(f"\n{o},", f"\n{decomposed(n)},"))
    edit(root / "classes.txt", lambda text: text.replace("disc", "Süß"))
    edit(root / "tags.csv", lambda text: text.replace("disc", decomposed("Süß")))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert folder.listed("train") == ["Zürich", "é", "c", "d"] and folder.has_mask("é")
    assert folder.labels("Zürich").shape == folder.image("ü x").shape[:2] == SIZE


def test_label_maps_in_any_form(root, tmp_path):
    "A label folder is listed by the same rule as the photos, and stray files are no labels."
    labels = tmp_path / "labels"
    write_labels(labels / f"{decomposed('é')}.PNG", np.zeros(SIZE, int))
    write_labels(labels / "f.Png", np.ones(SIZE, int))
    for stray in ("._f.png", ".tmp-01.png", "f.txt", "f.npy"):
        (labels / stray).write_bytes(b"stray")
    assert {name: path.name for name, path in label_maps(labels).items()} == {
        "f": "f.Png",
        "é": f"{decomposed('é')}.PNG",
    }
    view = VOCFolder(root).with_labels(labels, keep="abcd")
    assert (view.labels("f") == 1).all() and view.has_mask("f") and not view.has_mask("e")


def test_stray_files_beside_photos_and_masks(root):
    for file in ("JPEGImages/._a.jpg", "SegmentationClass/._a.png", "SegmentationClass/Thumbs.db"):
        (root / file).write_bytes(b"stray")
    assert VOCFolder(root).check(progress=False) == []


def test_two_masks_of_one_name(root):
    shutil.copy(root / "SegmentationClass/a.png", root / "SegmentationClass/a.PNG")
    only(root, "mask twice", "SegmentationClass/a.png, SegmentationClass/a.PNG")


# masks that would teach nothing


def black_and_white(root, names):
    for name in names:
        path = root / f"SegmentationClass/{name}.png"
        Image.fromarray(np.where(np.array(Image.open(path)) % 255 > 0, 255, 0).astype(np.uint8)).save(path)


def remedy_of(error):
    "The command that a message offers."
    return re.search(r'python -c "(.+?)"', str(error))[1]


def test_masks_of_0_and_255_are_refused_and_the_remedy_works(root):
    edit(root / "classes.txt", lambda text: "background\ndisc")
    edit(root / "tags.csv", lambda text: text.replace(";square", ""))
    names = LISTS["train"] + LISTS["val"]
    black_and_white(root, names)
    with pytest.raises(FolderError) as caught:
        VOCFolder(root).check(progress=False)
    lines = [f"SegmentationClass/{name}.png: no other number in it" for name in names]
    assert caught.value.problems == {"mask of 0 and 255": lines}
    subprocess.run([sys.executable, "-c", remedy_of(caught.value)], check=True)
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert {tuple(np.unique(folder.labels(name))) for name in names} == {(0, 1)}
    assert sorted(path.stem for path in (root / "SegmentationClass-before").iterdir()) == sorted(names)


def test_masks_of_0_and_255_without_any_tags(root):
    "Where tags come from masks, they name no class at all."
    (root / "tags.csv").unlink()
    black_and_white(root, LISTS["train"] + LISTS["val"])
    found = problems(root)
    assert len(found["mask of 0 and 255"]) == 7 and set(found) == {"mask of 0 and 255", "image without tags"}


def test_masks_of_0_and_255_only_to_judge_on(root):
    black_and_white(root, LISTS["val"])
    assert len(problems(root)["mask of 0 and 255"]) == 3


def test_one_mask_of_0_and_255_among_others_is_noted(root):
    black_and_white(root, "b")
    (line,) = VOCFolder(root).check(progress=False)
    assert line == "1 mask(s) of nothing but background and void (255), although the image's tags name a class"


def test_a_table_as_spreadsheets_save_it_is_refused_and_the_remedy_works(root):
    tags = [VOCFolder(root).tags(name).tolist() for name in VOCFolder(root).names]
    rows = (root / "tags.csv").read_text(encoding="utf-8").replace(";", "|").replace(",", ";").replace("|", ", ")
    saved = rows.replace("image;tags", "Bild;Stichwörter").encode("cp1252")
    (root / "tags.csv").write_bytes(saved)
    with pytest.raises(FolderError, match="saved by a spreadsheet") as refused:
        VOCFolder(root).check(progress=False)
    assert "image without tags" not in str(refused.value)  # one cause, said once
    subprocess.run([sys.executable, "-c", remedy_of(refused.value)], check=True, capture_output=True)
    assert (root / "tags-before.csv").read_bytes() == saved
    assert VOCFolder(root).check(progress=False) == []
    assert [VOCFolder(root).tags(name).tolist() for name in VOCFolder(root).names] == tags


def test_remapping_goes_on_where_it_was_killed(root, monkeypatch):
    black_and_white(root, LISTS["train"])
    before = {name: (root / f"SegmentationClass/{name}.png").read_bytes() for name in LISTS["train"]}
    replace, done = os.replace, []

    def killed(*paths):
        done.append(paths)
        if len(done) == 4:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        remap_masks(root, {255: 1})
    monkeypatch.setattr(os, "replace", replace)
    remap_masks(root, {255: 1})
    kept = root / "SegmentationClass-before"
    assert {name: (kept / f"{name}.png").read_bytes() for name in before} == before
    assert all((read_labels(root / f"SegmentationClass/{name}.png") < 255).all() for name in before)


def test_remapping_leaves_colours_alone(root):
    Image.fromarray(np.full((*SIZE, 3), (9, 9, 8), np.uint8)).save(root / "SegmentationClass/a.png")
    with pytest.raises(ValueError, match=r"a\.png holds colours"):
        remap_masks(root, {255: 1})


@pytest.mark.parametrize("name", ["b", "y"])
def test_mask_void_throughout(root, name):
    write_labels(root / f"SegmentationClass/{name}.png", np.full(SIZE, 255))
    only(root, "mask void throughout", f"SegmentationClass/{name}.png")


@pytest.mark.parametrize("names", ["abcd", "xyz"])
def test_masks_that_are_background_throughout(root, names):
    for name in names:
        write_labels(root / f"SegmentationClass/{name}.png", np.zeros(SIZE, int))
    only(root, "masks show no class", f"{len(names)} of {len(names)}, such as SegmentationClass/{names[0]}.png")


def test_class_that_is_tagged_and_shown_by_no_mask_is_noted(root):
    edit(root / "classes.txt", lambda text: text + "\nstar\ncross")
    edit(root / "tags.csv", lambda text: text.replace("e,disc", "e,disc;star").replace("f,disc", "f,disc;star;cross"))
    (line,) = VOCFolder(root).check(progress=False)
    assert line == "2 image(s) tagged with classes that no mask shows: star, cross"


def test_large_photos_are_counted(root):
    Image.new("RGB", (3000, 2000)).save(root / "JPEGImages/f.jpg")
    Image.new("RGB", (1024, 1024)).save(root / "JPEGImages/g.jpg")
    (line,) = VOCFolder(root).check(progress=False)
    assert line.startswith("1 photo(s) of more than 1.0 megapixels: slow at their own size")
    assert line.endswith("pass -p longest_side 800")


# no lists, or no masks


@pytest.fixture
def flat(root, tmp_path):
    "The photos, masks and tags of `root` as somebody would bring them: in one folder, without lists."
    flat = tmp_path / "flat"
    (flat / "masks").mkdir(parents=True)
    for kind, place in (("JPEGImages/*.jpg", flat), ("SegmentationClass/*.png", flat / "masks"), ("*.*", flat)):
        for path in root.glob(kind):
            shutil.copy(path, place)
    return flat


def test_lists_follow_from_what_is_there(flat):
    before = sorted(flat.rglob("*"))
    folder = VOCFolder(flat)
    strong, val = folder.listed("train"), folder.listed("val")
    assert sorted(strong + val) == list("abcdxyz") and not set(strong) & set(val)
    assert folder.listed("trainaug") == [*strong, *"efgh"]
    for part in (strong, val):  # each class can be learned, and judged
        assert np.any([folder.tags(name) for name in part], axis=0).all()
    (line,) = folder.check(progress=False)
    counts = f"{len(strong)} photo(s) with a mask to train on, {len(val)} with a mask to evaluate on, 4 with tags alone"
    assert line.startswith("No lists in ImageSets/Segmentation, so they follow from the files: " + counts)
    assert sorted(flat.rglob("*")) == before  # nothing is written unasked
    assert read_split(folder, "all") == strong

    subprocess.run([sys.executable, "-c", remedy_of(line)], check=True)
    written = VOCFolder(flat)
    assert written.check(progress=False) == []
    assert [written.listed(which) for which in LISTS] == [folder.listed(which) for which in LISTS]
    with pytest.raises(FileExistsError, match="holds lists already"):
        written.write_lists()


def test_lists_are_written_when_a_notebook_is_asked_to(flat, capsys):
    assert open_folder(flat).derived and not (flat / "ImageSets").exists()
    assert not open_folder(flat, write_lists=True).derived
    assert f"Lists written to {flat / 'ImageSets/Segmentation'}." in capsys.readouterr().out
    assert not open_folder(flat, write_lists=True).derived  # once more is no error


def test_masks_beside_the_photos(flat):
    for path in (flat / "masks").iterdir():
        path.rename(flat / path.name)
    folder = VOCFolder(flat)
    assert len(folder.check(progress=False)) == 1
    assert len(folder.listed("train")) + len(folder.listed("val")) == 7
    assert folder.image("a").shape == (*SIZE, 3) and folder.labels("a").shape == SIZE


def test_voc_layout_without_lists(root):
    shutil.rmtree(root / "ImageSets")
    folder = VOCFolder(root)
    assert folder.derived and len(folder.check(progress=False)) == 1


def test_tags_and_no_masks(flat):
    "What to draw first: the fewest photos that show every class."
    shutil.rmtree(flat / "masks")
    (only_one,) = problems(flat)["too few masks"]
    assert only_one == (
        "None of the 11 photos has a mask, and at least a few are needed."
        " Begin with the fewest that show every class: b.jpg."
    )
    edit(flat / "classes.txt", lambda text: text + "\nstar\ncross\n")
    edit(flat / "tags.csv", lambda text: text.replace("e,disc", "e,star").replace("z,disc", "z,star;cross"))
    assert problems(flat)["too few masks"][0].endswith("every class: b.jpg, z.jpg.")
    for split in (1, "all", "2@0"):
        with pytest.raises(ValueError, match=r"split .*None of the 11 photos has a mask.*b\.jpg, z\.jpg"):
            read_split(VOCFolder(flat), split)
    assert VOCFolder(flat).check(strong=[], progress=False)  # nobody asks for masks where none will be used


def test_one_mask_alone(flat):
    for name in "bcdxyz":
        (flat / f"masks/{name}.png").unlink()
    (line,) = problems(flat)["too few masks"]
    assert "none of the 1 there can be spared: draw a few more. Begin with the fewest" in line


def test_tags_of_classes_that_nobody_listed(flat):
    (flat / "classes.txt").unlink()
    (line,) = problems(flat)["classes not usable"]
    assert line.startswith("There is no classes.txt, so classes are VOC's 21, and tags.csv names others: disc, square.")
    assert "in the order that the masks show" in line
    subprocess.run([sys.executable, "-c", remedy_of(line)], check=True, capture_output=True)
    assert (flat / "classes.txt").read_text(encoding="utf-8").split() == ["background", "disc", "square"]
    VOCFolder(flat).check(progress=False)


def test_no_photos_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no photo in .*: is this the right folder"):
        VOCFolder(tmp_path)


# names are text


@pytest.mark.parametrize("name", ["007", "1_8", "1e5", "null", "NA", "nan", "True", "0x10", "-1"])
def test_names_that_look_like_something_else(root, name):
    (root / "JPEGImages/f.jpg").rename(root / f"JPEGImages/{name}.jpg")
    edit(root / "ImageSets/Segmentation/trainaug.txt", lambda text: text.replace("f\n", f"{name}\n"))
    edit(root / "tags.csv", lambda text: text.replace("\nf,", f"\n{name},").replace("disc", name))
    edit(root / "classes.txt", lambda text: text.replace("disc", name))
    folder = VOCFolder(root)
    assert folder.check(progress=False) == []
    assert folder.classes[1] == name and folder.tags(name).all()
    split = root / "1_8"
    split.write_text("a\n", encoding="utf-8")
    assert read_split(folder, str(split)) == ["a"]


@pytest.mark.parametrize("value", [7, 18, 1e5, True, None])
def test_folder_whose_name_became_a_number(value):
    "papermill reads `-p data 007` as a number; with -r it is text."
    with pytest.raises(TypeError, match=f"data={value!r} is no text: .*-r data"):
        open_folder(value)


def test_remapping_names_a_mask_that_cannot_be_read(root):
    (root / "SegmentationClass/b.png").write_bytes(b"no mask")
    with pytest.raises(ValueError, match=r"b\.png cannot be read as a mask: not a whole PNG"):
        remap_masks(root, {255: 1})


def test_masks_named_as_no_photo(flat):
    for path in (flat / "masks").iterdir():
        path.rename(path.with_stem(f"{path.stem}_mask"))
    assert sorted(VOCFolder(flat).mask_files) == list("abcdxyz")  # a word that tools put behind the name
    for path in (flat / "masks").iterdir():
        path.rename(path.with_stem(f"{path.stem}_of_mine"))
    (line,) = problems(flat)["too few masks"]
    assert line.startswith("None of the 11 photos has a mask (a_mask_of_mine.png is named as no photo), and at least")


def test_mask_named_as_no_photo_is_noted(root):
    shutil.copy(root / "SegmentationClass/a.png", root / "SegmentationClass/a (1).png")
    assert VOCFolder(root).check(progress=False) == ["1 mask(s) with the name of no photo, left out"]
