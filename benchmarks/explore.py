"""How long the explorer takes to open and to turn a page on a large label folder.

    python benchmarks/explore.py                # 10,000 images of 500 x 375, about 2 minutes to draw
    python benchmarks/explore.py --images 2000 --keep /somewhere    # smaller, and kept for the next time
    python benchmarks/explore.py --images 100000 --height 24 --judged      # many and tiny, each with a verdict

The folder is drawn from 200 different photos, each under many names. "Cold" turns a page whose thumbnails were not
prepared; "as used" one that was made in the background while the page before was looked at. The first numbers of a
fresh process count, as a person would see them; importing torch comes before and is shown apart. Beside each time is
the processor time that went into it: on a machine that others use too, the wait is longer than the work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from swsss.photos.images import VOC_CLASSES, write_labels
from swsss.runs.label_folder import Judgements

OPEN_LIMIT, PAGE_LIMIT = 2.0, 0.3  # seconds


def draw_photo(rng, height):
    "A photo with as much detail as a camera's, and blobs of a few classes."
    width = height * 4 // 3
    noise = sum(
        cv2.resize(rng.normal(0, 30, (size * 3, size * 4, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for size in (3, 12, 50, 120)
    )
    labels = np.zeros((height, width), np.uint8)
    for c in rng.choice(np.arange(1, 21), rng.integers(1, 4), replace=False):
        centre, axes = (
            (int(rng.integers(width)), int(rng.integers(height))),
            rng.integers(height // 10 + 1, height // 3, 2).tolist(),
        )
        cv2.ellipse(labels, centre, axes, int(rng.integers(180)), 0, 360, int(c), -1)
    return (128 + noise + 20 * (labels[..., None] % 3)).clip(0, 255).astype(np.uint8), labels


def draw_folder(root, count, height, judged):
    "A VOC folder with tags, masks and a label folder, `count` images; equal files are links to one."
    rng = np.random.default_rng(0)
    images, masks, labels = root / "data/JPEGImages", root / "data/SegmentationClass", root / "labels"
    lists = root / "data/ImageSets/Segmentation"
    for folder in [images, masks, labels, lists]:
        folder.mkdir(parents=True)
    names = [f"2008_{i:06d}" for i in range(count)]
    rows = ["image,tags"]
    for k in range(min(200, count)):
        image, mask = draw_photo(rng, height)
        tags = ";".join(VOC_CLASSES[c] for c in np.unique(mask) if c)
        for i, name in enumerate(names[k::200]):
            if i == 0:
                cv2.imwrite(str(images / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
                write_labels(masks / f"{name}.png", mask)
                write_labels(labels / f"{name}.png", np.roll(mask, height // 40 + 1, 1))
            else:
                for folder, suffix in [(images, "jpg"), (masks, "png"), (labels, "png")]:
                    os.link(folder / f"{names[k]}.{suffix}", folder / f"{name}.{suffix}")
            rows.append(f"{name},{tags}")
    for which, part in {"train": names[:100], "trainaug": names, "val": names[:10]}.items():
        (lists / f"{which}.txt").write_text("\n".join(part) + "\n")
    (root / "data/tags.csv").write_text("\n".join(rows) + "\n")
    (labels / "labels.json").write_text(json.dumps({"network": "hybrid"}))
    scores = {"name": names, "strong": [i < 100 for i in range(count)]}
    scores |= {score: rng.random(count).round(4) for score in ["confidence", "agreement", "weight"]}
    pd.DataFrame(scores | {"weakest_class": "dog"}).to_csv(labels / "scores.csv", index=False)
    if judged:
        Judgements(labels).set(names, "accepted")


class Seconds(float):
    "Time waited, with the processor time that this process took for it."

    def __new__(cls, waited, work):
        self = super().__new__(cls, waited)
        self.work = work
        return self


def clock(work):
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    return Seconds(time.perf_counter() - start, time.process_time() - busy), result


def measure(root):
    "Seconds of each thing a person waits for, in this fresh process."
    importing, explore = clock(lambda: __import__("swsss.explorer.explore", fromlist=["x"]))
    times = {"import": importing}

    from swsss.explorer.gallery import Gallery
    from swsss.explorer.results import find_results

    def start():
        return explore.Explorer(find_results(labels=root / "labels", data=str(root / "data")))

    times["open"], explorer = clock(start)
    pages = []
    for _ in range(10):  # pages far apart, so that none is prepared
        explorer.pages.number += 20
        pages.append(clock(lambda: explorer.pages.turn(1))[0])
    times["page, cold (worst of 10)"] = max(pages)
    explorer.pages.thumbs.pool.shutdown(wait=True)
    explorer.pages.thumbs.pool = ThreadPoolExecutor(2)
    pages = []
    for _ in range(5):
        pages.append(clock(lambda: explorer.pages.turn(1))[0])
        time.sleep(1)  # a person looks at least this long
    times["page, as used (worst of 4)"] = max(pages[1:])
    times["sort by agreement"] = clock(lambda: setattr(explorer.controls.sort, "value", "agreement"))[0]
    times["filter by class"] = clock(lambda: setattr(explorer.controls.tag, "value", 3))[0]
    times["open one label"] = clock(lambda: explorer.open(explorer.pages.names[0]))[0]
    verdicts = [clock(lambda: explorer.judge("rejected"))[0] for _ in range(20)]
    times["verdict, and on to the next (worst of 20)"] = max(verdicts)
    times["true IoU of all, once"] = clock(explorer.gallery.count_truth)[0]
    again = Gallery(explorer.results.folder, explorer.results.labels)
    times["true IoU of all, next session"] = clock(again.count_truth)[0]
    return times


def measure_memory(root):
    "MB of a fresh process that has opened the folder, and of one that has only imported what is needed."
    ask = "import resource; import swsss.explorer.explore; from swsss.explorer.results import find_results; {}; "
    ask += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    opened = "x = swsss.explorer.explore.Explorer("
    opened += f"find_results(labels={str(root / 'labels')!r}, data={str(root / 'data')!r}))"
    runs = [
        subprocess.run([sys.executable, "-c", ask.format(do)], capture_output=True, text=True, check=True)
        for do in (opened, "pass")
    ]
    return [float(run.stdout.splitlines()[-1]) for run in runs]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--height", type=int, default=375, help="of the photos, pixels")
    parser.add_argument("--judged", action="store_true", help="every label has a verdict")
    parser.add_argument("--keep", type=Path, help="where to draw the folder, used again if it is there")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return print(json.dumps({name: [s, s.work] for name, s in measure(args.measure).items()}))
    with tempfile.TemporaryDirectory() as scratch:
        root = args.keep or Path(scratch) / "large"
        if not root.exists():
            drawing, _ = clock(lambda: draw_folder(root, args.images, args.height, args.judged))
            print(f"drew {args.images:,} images in {drawing:.0f} s")
        (root / "labels/.confusion.npz").unlink(missing_ok=True)
        command = [sys.executable, __file__, "--measure", str(root)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        opened, imported = measure_memory(root)
    times = {name: Seconds(*pair) for name, pair in json.loads(out.splitlines()[-1]).items()}
    print(f"{'':42s}  waited      work")
    for name, seconds in times.items():
        print(f"{name:42s}{seconds:8.3f} s{seconds.work:8.3f} s")
    print(f"memory of the process: {opened:.0f} MB opened, {imported:.0f} MB of them for what is imported")
    slow = [name for name in times if name.startswith("page") and times[name] > PAGE_LIMIT]
    slow += ["open"] * (times["open"] > OPEN_LIMIT)
    sys.exit(f"too slow: {', '.join(slow)}" if slow else 0)


if __name__ == "__main__":
    main()
