"Archives, masks and names from anywhere: found by their last parts, and nothing that takes the machine."

import io
import json
import os
import signal
import struct
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from data_folder import CLASSES, SIZE, make_folder
from foreign import Reader, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from swsss.photos.images import decode_whole, read_image, read_labels, write_labels
from swsss.photos.new_photos import PhotoFolder
from swsss.runs.label_folder import import_labels

LABELMAP = "background:0,0,0::\ndisc:200,0,0::\nsquare:0,200,0::\n"
COLOURS = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)
MASK = np.zeros(SIZE, np.uint8)
MASK[3:9, 4:20], MASK[12:15, 2:8] = 1, 2
HEIGHT, WIDTH = SIZE


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="PNG")
    return out.getvalue()


def zipped(path, members):
    "An archive with members named as they are given, twice too."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
        for name, content in members:
            one = zipfile.ZipInfo("x")
            one.filename, one.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(one, content)
    return path


def coco(*names):
    images = [{"id": k, "file_name": name, "width": WIDTH, "height": HEIGHT} for k, name in enumerate(names)]
    outline = [[4, 3, 20, 3, 20, 9, 4, 9]]
    drawn = [{"id": k, "image_id": k, "category_id": 1, "segmentation": outline} for k in range(len(names))]
    return {"images": images, "annotations": drawn, "categories": [{"id": 1, "name": "disc"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("files") / "data")


@pytest.fixture(scope="module")
def reader():
    reader = Reader(2**27)  # 128 MB: less than one 13,000 x 13,000 mask
    yield reader
    reader.stop()


@pytest.mark.parametrize(
    "called",
    [
        "a.jpg",
        "JPEGImages/a.jpg",
        "/home/somebody/project/a.png",
        "C:\\Users\\Somebody\\data\\a.jpg",
        "data\\a.jpg",
        "/data/upload/1/8a7b6c5d-a.jpg",
        "8a7b6c5d-a.jpg",
        "/data/local-files/?d=photos/a.jpg",
        "/data/local-files/?d=photos%2Fa.jpg",
        "https://host.org/x/a.jpg?x=1",
        "s3://bucket/x/%61.jpg",
    ],
)
def test_photos_are_found_by_the_last_part_of_their_names(folder, tmp_path, called):
    imported, left_out = import_labels(write(tmp_path / "x.json", coco(called)), tmp_path / "coco", folder)
    assert imported == ["a"] and left_out == []
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rectanglelabels": ["disc"]}
    region = {"type": "rectanglelabels", "original_width": WIDTH, "original_height": HEIGHT, "value": value}
    tasks = [{"data": {"photo": called}, "annotations": [{"result": [region]}]}]
    imported, left_out = import_labels(write(tmp_path / "y.json", tasks), tmp_path / "studio", folder)
    assert imported == ["a"] and left_out == []


def test_names_beyond_ascii_and_in_folders(tmp_path):
    "A photo's very name comes first, then its last parts; a folder of another name is another photo."
    names = ["Grün 1", "100%25 a", "trip/1", "home/1", "home/2", "what?"]
    for name in names:
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "album" / f"{name}.png")
    album = PhotoFolder(tmp_path / "album", CLASSES)
    called = ["x/Gru\u0308n%201.png", "100%25 a.png", "album/trip/1.png", "elsewhere/2.png", "what?.png", "1.png"]
    imported, left_out = import_labels(write(tmp_path / "x.json", coco(*called)), tmp_path / "labels", album)
    assert sorted(imported) == sorted(["Grün 1", "100%25 a", "trip/1", "what?"])
    assert left_out == ["2 are of photos that are not listed here and were left out: elsewhere/2, 1"]
    assert import_labels(write(tmp_path / "y.json", coco("2.png")), tmp_path / "more", album)[0] == ["home/2"]


def test_where_several_mean_one_photo_none_is_taken(folder, tmp_path):
    "Unless one has its very name."
    file = write(tmp_path / "x.json", coco("train/a.jpg", "val/a.jpg", "b.jpg", "old/b.jpg", "c.jpg"))
    imported, left_out = import_labels(file, tmp_path / "labels", folder)
    assert imported == ["b", "c"]
    assert left_out == [
        "3 names could mean several photos, or share one with others, and were left out: train/a.jpg, val/a.jpg, "
        "old/b.jpg"
    ]


def test_where_none_fits_it_is_said_what_the_file_calls_them(folder, tmp_path):
    file = write(tmp_path / "x.json", coco("IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "IMG_4.jpg"))
    with pytest.raises(
        ValueError, match=r"no label named as a photo here, such as a; it calls its photos IMG_1\.jpg, "
    ):
        import_labels(file, tmp_path / "labels", folder)
    for name in ("folder", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "folder/notes.txt").write_text("x", encoding="utf-8")
    for name in ("folder", "empty"):
        with pytest.raises(ValueError, match="it holds neither masks"):
            import_labels(tmp_path / name, tmp_path / "labels", folder)


@pytest.mark.parametrize("packed", [True, False])
def test_json_in_an_archive_or_a_folder(folder, tmp_path, packed):
    "As CVAT and others pack COCO, with photos beside."
    text = json.dumps(coco("a.png", "b.png"))
    members = [("annotations/instances_default.json", text), ("images/a.png", png(np.zeros((*SIZE, 3), np.uint8)))]
    place = zipped(tmp_path / "x.zip", members)
    if not packed:
        with zipfile.ZipFile(place) as archive:
            archive.extractall(tmp_path / "x")
        place = tmp_path / "x"
    assert import_labels(place, tmp_path / "labels", folder) == (["a", "b"], [])
    assert (read_labels(tmp_path / "labels/a.png") == (MASK == 1)).all()


def test_an_archive_packed_on_windows(folder, tmp_path):
    members = [("cvat\\labelmap.txt", LABELMAP), ("cvat\\SegmentationClass\\a.png", png(COLOURS[MASK]))]
    place = zipped(tmp_path / "windows.zip", [*members, ("cvat\\JPEGImages\\a.png", b"no picture")])
    assert import_labels(place, tmp_path / "labels", folder) == (["a"], [])
    assert np.array_equal(read_labels(tmp_path / "labels/a.png"), MASK)


def test_photos_listed_without_a_mask_are_counted_and_plain_masks_named(folder, tmp_path):
    "CVAT writes no mask for a photo without shapes; one that is there says what it shows."
    members = [("labelmap.txt", LABELMAP), ("ImageSets/Segmentation/default.txt", "a\nb\nc\n")]
    members += [("SegmentationClass/a.png", png(COLOURS[MASK])), ("SegmentationClass/b.png", png(COLOURS[0 * MASK]))]
    imported, left_out = import_labels(zipped(tmp_path / "cvat.zip", members), tmp_path / "labels", folder)
    assert imported == ["a", "b"] and left_out == [
        "1 of 3 photos is listed without a mask and was left out: c",
        "1 of 3 masks is background throughout and was taken so: b",
    ]


def postscript():
    out = io.BytesIO()
    Image.new("RGB", SIZE[::-1]).save(out, format="EPS")
    return out.getvalue()


def large(side=13_000):
    "A PNG of a few kilobytes."
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes((side // 8 + 2) * min(side, 13_000)) if side < 50_000 else b"", 9)
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


MASKS = {"postscript": (postscript, "not a whole PNG"), "large": (large, "more than 67,108,864 pixels"),
         "huge": (lambda: large(2**30), "more than 67,108,864 pixels"), "text": (lambda: b"hello", "not a whole PNG"),
         "empty": (bytes, "0 bytes")}  # fmt: skip


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("labelmap", [True, False])
@pytest.mark.parametrize("which", MASKS)
def test_masks_go_through_the_bounded_door(reader, tmp_path, which, labelmap, packed):
    "PNG alone, whatever a file is called, and of a size that may be decoded."
    make, says = MASKS[which]
    members = [("SegmentationClass/a.png", make()), *[("labelmap.txt", LABELMAP)] * labelmap]
    place = zipped(tmp_path / "x.zip", members)
    if not packed:
        with zipfile.ZipFile(place) as archive:
            archive.extractall(tmp_path / "x")
        place = tmp_path / "x"
    reader.refuses(place, CLASSES, "a.png cannot be read", says)


def test_a_mask_of_the_largest_size_takes_little_room(tmp_path):
    "67 million pixels in colour are 192 MB; what they mean takes less than 1 GB with that."
    side = 2**13
    pixels = np.zeros((side, side), np.uint8)
    pixels[:9], pixels[-9:] = 1, 2
    image = Image.fromarray(pixels)
    image.putpalette(COLOURS.tobytes())
    image.save(tmp_path / "a.png")
    (tmp_path / "labelmap.txt").write_text(LABELMAP, encoding="utf-8")
    reader = Reader(10**9)
    assert reader.read(tmp_path, CLASSES) == ["labels", {"a": int(pixels.sum())}]
    reader.stop()


def test_no_program_is_run_for_a_picture(tmp_path, monkeypatch, folder):
    "Pillow would hand PostScript to Ghostscript."
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **kw: pytest.fail("Ghostscript was asked"))
    for labelmap in (True, False):
        members = [("SegmentationClass/a.png", postscript()), *[("labelmap.txt", LABELMAP)] * labelmap]
        with zipfile.ZipFile(zipped(tmp_path / f"{labelmap}.zip", members)) as archive:
            archive.extractall(tmp_path / f"{labelmap}")
        with pytest.raises(ValueError, match="not a whole PNG"):
            import_labels(tmp_path / f"{labelmap}", tmp_path / "labels", folder)


@pytest.mark.parametrize("place", ["labelmap.txt", "classes.txt", "ImageSets/Segmentation/default.txt"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_list_of_300_mb_is_not_read(reader, tmp_path, place, packed):
    zipped(tmp_path / "x.zip", [("SegmentationClass/a.png", png(MASK)), (place, b" " * 300 * 2**20)])
    if packed:
        reader.refuses(tmp_path / "x.zip", CLASSES, place.split("/")[-1], "larger than 16 MB")
    else:
        (tmp_path / "x" / place).parent.mkdir(parents=True)
        (tmp_path / "x/SegmentationClass").mkdir()
        (tmp_path / "x/SegmentationClass/a.png").write_bytes(png(MASK))
        with open(tmp_path / "x" / place, "wb") as file:
            file.truncate(300 * 2**20)
        reader.refuses(tmp_path / "x", CLASSES, place.split("/")[-1], "larger than 16 MB")


def claim(path, files):
    "An archive whose end says that it holds so many files."
    data = bytearray(zipped(path, [("a.png", png(MASK))]).read_bytes())
    end = data.rfind(b"PK\x05\x06")
    large = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, files, files, 50 * files, 0)
    struct.pack_into("<HHI", data, end + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    path.write_bytes(data[:end] + large + locator + data[end:])


def test_archives_are_bounded_before_they_are_read(reader, tmp_path):
    claim(tmp_path / "many.zip", 10**7)
    reader.refuses(tmp_path / "many.zip", CLASSES, "10,000,000 files")
    for name in ("../a.png", "/etc/a.png", "C:/a.png", "x/../../a.png", "..\\a.png"):
        reader.refuses(zipped(tmp_path / "out.zip", [(name, png(MASK))]), CLASSES, "which lies outside")
    reader.refuses(zipped(tmp_path / "two.zip", [("a.png", png(MASK))] * 2), CLASSES, "'a.png' twice")
    for text in (b"", b"PK\x05\x06", b"PK\x06\x06" + bytes(200)):
        (tmp_path / "torn.zip").write_bytes(text)
        reader.refuses(tmp_path / "torn.zip", CLASSES, "no zip archive")
    bomb = zipped(tmp_path / "bomb.zip", [("SegmentationClass/a.png", bytes(2**28 + 1))])  # 256 MB in 260 kB
    reader.refuses(bomb, CLASSES, "a.png", "larger than 256 MB")
    lying = bytearray(zipped(tmp_path / "lying.zip", [("a.png", bytes(2**28))]).read_bytes())
    struct.pack_into("<I", lying, lying.rfind(b"PK\x01\x02") + 24, 100)  # says 100 bytes, packs 256 MB
    (tmp_path / "lying.zip").write_bytes(lying)
    reader.refuses(tmp_path / "lying.zip", CLASSES, "a.png")


def test_an_archive_is_read_without_being_unpacked(folder, tmp_path, monkeypatch):
    "Of 20,000 files in it not one comes to the disk."
    members = [("SegmentationClass/a.png", png(MASK)), *((f"SegmentationClass/{k}.png", b"") for k in range(20_000))]
    zipped(tmp_path / "x.zip", members)
    for name in ("extract", "extractall"):
        monkeypatch.setattr(zipfile.ZipFile, name, lambda *args, **kw: pytest.fail("unpacked"))
    imported, left_out = import_labels(tmp_path / "x.zip", tmp_path / "labels", folder)
    assert imported == ["a"] and left_out[0].startswith("20000 are of photos that are not listed here")


NO_EXPORTS = ["[" * 200_000, '{"images": ' + "[" * 100_000 + "]" * 100_000 + "}", "1" * 10_000, "", "\ufeff5", "nul"]
NO_EXPORTS += ['{"a": 1, "a', '"\\ud800"', "[null]", '[{"data": null}]', "true"]


@pytest.mark.parametrize("text", NO_EXPORTS)
def test_json_that_is_none_of_theirs(reader, tmp_path, text):
    reader.refuses(write(tmp_path / "x.json", text), CLASSES)


@pytest.fixture
def at_most_a_minute():
    def over(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_neither_pipes_nor_other_things_are_waited_for(folder, tmp_path, at_most_a_minute):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match=r"pipe\.json is no export that can be read"):
        import_labels(tmp_path / "pipe.json", tmp_path / "labels", folder)
    (tmp_path / "x").mkdir()
    os.mkfifo(tmp_path / "x/b.png")
    write_labels(tmp_path / "x/a.png", MASK)
    assert import_labels(tmp_path / "x", tmp_path / "labels", folder) == (["a"], [])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("side", [8000, 128, 72])
def test_a_jpeg_larger_by_its_header_than_by_its_data(tmp_path, side, mode):
    "64 x 64 pixels under another header: the rest would be grey that nobody photographed."
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).convert(mode)
    image.save(tmp_path / "x.jpg", quality=90)
    whole = (tmp_path / "x.jpg").read_bytes()
    assert read_image(tmp_path / "x.jpg").shape == (64, 64, 3)
    at = whole.index(b"\xff\xc0") + 5
    (tmp_path / "x.jpg").write_bytes(whole[:at] + side.to_bytes(2) * 2 + whole[at + 4 :])
    for read in (read_image, decode_whole):
        with pytest.raises(ValueError, match="cannot hold the 8,000 x 8,000" if side == 8000 else "data end before"):
            read(tmp_path / "x.jpg")


def test_grey_photos_are_whole(tmp_path):
    "What ends in mid-grey is looked at twice, and taken."
    pixels = np.full((64, 48, 3), 128, np.uint8)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 100}):
        Image.fromarray(pixels).save(tmp_path / "x.jpg", **options)
        assert np.array_equal(read_image(tmp_path / "x.jpg"), pixels)
        decode_whole(tmp_path / "x.jpg")


@settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "300")),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damaged_archives_are_labels_or_one_sentence(reader, tmp_path, data):
    members = [("SegmentationClass/a.png", png(COLOURS[MASK])), ("labelmap.txt", LABELMAP)]
    members += [("ImageSets/Segmentation/default.txt", "a\n")]
    content = bytearray(zipped(tmp_path / "x.zip", members).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    (tmp_path / "x.zip").write_bytes(content)
    if reader.read(tmp_path / "x.zip", CLASSES)[0] != "labels":
        reader.refuses(tmp_path / "x.zip", CLASSES)
