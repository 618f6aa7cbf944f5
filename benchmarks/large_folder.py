"""Time and memory of a folder of many photos: hard links to a hundred small ones, so that it costs no space.

python benchmarks/large_folder.py                             10,000 and 100,000 photos, and a million
python benchmarks/large_folder.py --photos 100000 --against /tmp/before    the same of another checkout, in turn
python benchmarks/large_folder.py --photos 1000000 --keep /tmp/large       keep the folders there for the next time
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIFFERENT, STRONG, VAL = 100, 100, 20
STEPS = ("open", "check first", "check cached", "fingerprint", "contents", "with_labels", "tags of all",
         "first batch", "weak names")  # fmt: skip


def write_folder(root, photos):
    "A folder in VOC's layout; every photo is a link to one of a hundred."
    import numpy as np
    from PIL import Image

    from swsss.photos.images import VOC_CLASSES, write_labels

    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"{i:07}" for i in range(photos)]
    for i, name in enumerate(names):
        place = root / f"JPEGImages/{name}.jpg"
        if i < DIFFERENT:
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(place)
        else:
            os.link(root / f"JPEGImages/{names[i % DIFFERENT]}.jpg", place)
    for name in (*names[:STRONG], *names[photos - VAL :]):
        mask = np.repeat(rng.integers(0, 21, (6, 64), dtype=np.uint8), 8, 0)
        write_labels(root / f"SegmentationClass/{name}.png", mask)
    (root / "pseudo").mkdir()
    (root / "pseudo/labels.json").write_text("{}", encoding="utf-8")
    for i, name in enumerate(names):
        os.link(root / f"SegmentationClass/{names[i % STRONG]}.png", root / f"pseudo/{name}.png")
    lists = {"train": names[:STRONG], "trainaug": names[: photos - VAL], "val": names[photos - VAL :]}
    for which, listed in lists.items():
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(listed), encoding="utf-8")
    tags = rng.integers(1, 21, (photos, 2))
    rows = (f"{name},{VOC_CLASSES[a]};{VOC_CLASSES[b]}" for name, (a, b) in zip(names, tags, strict=True))
    (root / "tags.csv").write_text("image,tags\n" + "\n".join(rows) + "\n", encoding="utf-8")


def resident():
    "Bytes of memory that this process holds now, freed ones given back first."
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def reset_peak():
    "Forget the most memory so far, which a process inherits from the one that started it."
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak():
    "The most bytes of memory since `reset_peak`."
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def measure(root):
    "Processor time and memory of each step, in this process."
    import torch  # noqa: F401  before the first measurement

    from swsss.method.batches import PairedBatches
    from swsss.photos import lists
    from swsss.photos.folder import VOCFolder

    if not hasattr(lists, "MAX_PHOTOS"):  # an older checkout, which refuses so many
        lists.MAX_LINES, lists.MAX_TEXT_BYTES = 2**30, 2**30
        sys.modules["swsss.photos.folder"].MAX_TEXT_BYTES = 2**30
    found, held = {}, {}

    def step(name, work):
        before = resident()
        reset_peak()
        start, begun = time.process_time(), time.perf_counter()
        held[name] = work()
        took = time.process_time() - start, time.perf_counter() - begun
        most, kept = peak() - before, resident() - before
        found[name] = {"cpu": took[0], "wall": took[1], "peak": most, "kept": kept}
        return held[name]

    folder = step("open", lambda: VOCFolder(root))
    step("check first", lambda: folder.check(progress=False) and None)
    step("check cached", lambda: folder.check(progress=False) and None)
    step("fingerprint", folder.fingerprint)
    strong, tagged = folder.listed("train"), folder.listed("trainaug")
    step("contents", lambda: len(folder.contents([*strong, *folder.listed("val")])["photos"]))
    step("with_labels", lambda: folder.with_labels(root / "pseudo", keep=strong))
    how = {"num_strong": 2, "num_weak": 2, "crop": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    batches = step("tags of all", lambda: PairedBatches(
        folder, strong, tagged, **how, seed=0, iterations=len(tagged) // 2, repeat_threshold=0.3))  # fmt: skip
    step("first batch", lambda: batches[0].images.shape)
    step("weak names", lambda: len(batches.weak_names(0, min(len(batches), 5000))))
    found["digest"] = held["fingerprint"]
    print(json.dumps(found))


def run(checkout, root, cache):
    "What `measure` prints, in a process of its own that begins without a cache."
    env = os.environ | {"PYTHONPATH": str(checkout), "XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", str(root)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{checkout}, {root}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(photos, found):
    "Print what each step took, per checkout."
    print(f"\n{photos:,} photos" + "".join(f" | {name}" for name in found))
    for step in STEPS:
        cells = [f"{row[step]['cpu']:7.2f} s, most {row[step]['peak'] / 2**20:6.0f} MB, keeps "
                 f"{row[step]['kept'] / photos:5.0f} bytes a photo" for row in found.values()]  # fmt: skip
        print(f"{step:12} | " + " | ".join(cells))
    print("fingerprint  | " + " | ".join(row["digest"] for row in found.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--keep", type=Path, help="where the folders are made and stay")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure)
    checkouts = {"here": Path(__file__).parents[1]} | ({"there": args.against} if args.against else {})
    with tempfile.TemporaryDirectory() as temporary:
        for photos in args.photos:
            root = (args.keep or Path(temporary)) / f"{photos}"
            if not root.exists():
                write_folder(root, photos)
            found = {name: run(checkout, root, Path(temporary, f"cache-{photos}-{name}"))
                     for name, checkout in checkouts.items()}  # fmt: skip
            table(photos, found)


if __name__ == "__main__":
    main()
