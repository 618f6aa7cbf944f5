"""Files made to hurt: each is answered with an error inside 1 GB of memory and without work out of proportion.

The limit of time is no measure of speed (benchmarks/check_folder.py is): it is ten times what the slowest takes, where
a file that does hurt takes hours. Seconds are those of the processor, all threads together.
"""

import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from data_folder import SIZE
from peak_memory import IMPORT_PEAK_MEMORY
from PIL import Image

MAX_SECONDS, MAX_BYTES = 30, 2**30

RUN = (
    IMPORT_PEAK_MEMORY
    + """
import json, time
from swsss.photos import folder as data
start = time.process_time()
try:
    {code}
    error = None
except (ValueError, OSError) as raised:
    error = str(raised)
print(json.dumps([error, time.process_time() - start, peak_memory()]))
"""
)


def answer(code):
    "The error that `code` ends with, after checking what it took."
    script = [sys.executable, "-c", RUN.format(code=code)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=True)
    error, seconds, peak = json.loads(done.stdout.splitlines()[-1])
    assert peak < MAX_BYTES, f"{peak / 2**20:.0f} MB"
    assert seconds < MAX_SECONDS, f"{seconds:.1f} s"
    return error or ""


def check(root):
    return answer(f"data.VOCFolder({str(root)!r}).check(progress=False)")


def write_gigabyte(path, unit):
    "1 GB of `unit`, over and over; real bytes, not a hole in a sparse file."
    block = unit * (2**22 // len(unit) + 1)
    with open(path, "wb") as file:
        for _ in range(2**30 // len(block) + 1):
            file.write(block)
    assert path.stat().st_size >= 2**30


@pytest.mark.parametrize("unit", [b"x", b"name\n", b"\xff"])
def test_list_of_a_gigabyte(root, unit):
    path = root / "ImageSets/Segmentation/train.txt"
    write_gigabyte(path, unit)
    assert "train.txt: larger than 256 MB" in check(root)
    assert "larger than 256 MB" in answer(f"data.read_split(data.VOCFolder({str(root)!r}), {str(path)!r})")


@pytest.mark.parametrize("unit", [b"x", b"a,disc\n", b'"'])
def test_table_of_a_gigabyte(root, unit):
    write_gigabyte(root / "tags.csv", unit)
    assert "tags.csv: larger than 256 MB" in check(root)


def test_list_and_table_as_large_as_they_may_be(root):
    "200,000 lines each, every one of them wrong."
    lines = [f"{i:06} not there" for i in range(199_000)]
    for which in ("train", "trainaug", "val"):
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(lines), encoding="utf-8")
    (root / "tags.csv").write_text(
        "image,tags\n" + "\n".join(f"{line},dics;x{line}" for line in lines[:190_000]), encoding="utf-8"
    )
    assert "image missing (199,000)" in check(root)


def test_one_long_line_within_the_limit(root):
    (root / "ImageSets/Segmentation/train.txt").write_text("a" * (2**24 - 1), encoding="utf-8")
    assert "16,777,215 characters" in check(root)
    (root / "ImageSets/Segmentation/train.txt").write_text("a.jpg " * (2**24 // 6), encoding="utf-8")
    assert "characters" in check(root)


def test_lines_that_tempt_the_pattern_to_backtrack(root):
    line = ".jpg " * 190 + "x"
    (root / "ImageSets/Segmentation/train.txt").write_text(
        "\n".join(f"{i}{line}" for i in range(17_000)), encoding="utf-8"
    )
    assert "name not usable" in check(root) or "image missing" in check(root)


def test_many_tags_in_one_row(root):
    (root / "tags.csv").write_text(
        "image,tags\na," + "disc;" * 20_000 + "\nb," + ";".join(map(str, range(20_000))), encoding="utf-8"
    )
    assert "tag not a class" in check(root)


def test_list_that_never_ends(root):
    path = root / "ImageSets/Segmentation/train.txt"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "no such file" in check(root)
    assert "no list at" in answer(f"data.read_split(data.VOCFolder({str(root)!r}), '/dev/zero')")


def annotation(root, text):
    (root / "tags.csv").unlink(missing_ok=True)
    (root / "Annotations").mkdir(exist_ok=True)
    (root / "Annotations/f.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return check(root)


def test_xml_bombs(root):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    laughs = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><annotation>&e9;</annotation>'
    assert "annotation not usable" in annotation(root, laughs)
    blowup = f'<!DOCTYPE x [<!ENTITY a "{"a" * 500_000}">]><annotation>{"&a;" * 100_000}</annotation>'
    assert "annotation not usable" in annotation(root, blowup)
    outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><object><name>&a;</name></object></annotation>'
    answered = annotation(root, outside)
    assert "annotation not usable" in answered and "root:" not in answered


def test_xml_deep_long_and_large(root):
    assert "annotation not usable" in annotation(root, "<a>" * 300_000)
    deep = "<annotation>" + "<a>" * 100_000 + "</a>" * 100_000 + "</annotation>"
    assert "image without tags" in annotation(root, deep)  # well-formed and harmless: says nothing
    assert "annotation not usable" in annotation(root, b"<a>\xff\xfe\x00</a>")
    write_gigabyte(root / "Annotations/f.xml", b"<a>")
    assert "larger than 1 MB" in check(root)


def png(path, width, height, mode=2, data=b"", extra=b""):
    "A PNG that claims any size; `data` is what its pixels are inflated from."

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return chunk


@pytest.mark.parametrize("side", [8_193, 12_000, 30_000, 2**31 - 1])
def test_image_that_claims_to_be_large(root, side):
    (root / "JPEGImages/f.jpg").unlink()
    png(root / "JPEGImages/f.png", side, side, data=zlib.compress(bytes(2**26)))
    assert "image too large (1)" in check(root)
    error = answer(f"data.VOCFolder({str(root)!r}).image('f')")
    assert "f.png cannot be read" in error and "67,108,864 pixels" in error


def test_mask_that_claims_to_be_large(root):
    png(root / "SegmentationClass/b.png", 50_000, 50_000, mode=0, data=zlib.compress(bytes(2**26)))
    assert "mask too large (1)" in check(root)
    assert "67,108,864 pixels" in answer(f"data.VOCFolder({str(root)!r}).labels('b')")


def test_largest_image_that_is_read_stays_within_memory(root):
    Image.new("RGB", (8192, 8192)).save(root / "JPEGImages/f.jpg")
    assert check(root) == ""
    assert answer(f"assert data.VOCFolder({str(root)!r}).image('f').shape == (8192, 8192, 3)") == ""


def test_small_image_with_a_large_stream(root):
    "24 x 32 by its header, 512 MB once inflated."
    (root / "JPEGImages/f.jpg").unlink()
    path = root / "JPEGImages/f.png"
    png(path, *SIZE[::-1], data=zlib.compress(bytes(2**29), 9))
    answer(f"data.VOCFolder({str(root)!r}).check(progress=False, deep=True)")
    answer(f"data.VOCFolder({str(root)!r}).image('f')")


def test_text_chunks_that_inflate(root):
    (root / "JPEGImages/f.jpg").unlink()
    body = b"k\0\0" + zlib.compress(bytes(2**28), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    rows = zlib.compress(b"".join(b"\0" + bytes(3 * SIZE[1]) for _ in range(SIZE[0])))
    png(root / "JPEGImages/f.png", *SIZE[::-1], data=rows, extra=chunk * 4)
    answer(f"data.VOCFolder({str(root)!r}).check(progress=False, deep=True)")
    answer(f"data.VOCFolder({str(root)!r}).image('f')")


def test_image_file_of_a_gigabyte(root):
    write_gigabyte(root / "JPEGImages/f.jpg", np.random.default_rng(0).bytes(4096))
    assert "image too large" in check(root)
    assert "1,0" in answer(f"data.VOCFolder({str(root)!r}).image('f')")


def test_the_measure_itself(root, monkeypatch):
    "What takes too much memory or time is noticed."
    with pytest.raises(AssertionError, match="MB"):
        answer("import numpy; numpy.ones(1100 * 2**20, dtype=numpy.uint8)")
    monkeypatch.setattr("test_data_hostile.MAX_SECONDS", 1)
    with pytest.raises(AssertionError, match=" s"):
        answer("while time.process_time() < 1.5 + start: pass")
