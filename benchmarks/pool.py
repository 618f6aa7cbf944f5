"""A pool of N photos against a folder of as many: opened, photos at random, all tags, the first batch, memory.

    OMP_NUM_THREADS=1 python benchmarks/pool.py /tmp/pools --rows 10000 100000 1000000 --folder 10000

Each row is a process of its own, so that its greatest memory is its own. The photos are one JPEG of 3 KB, repeated;
a million of them is 3 GB in /tmp/pools, which may be deleted afterwards.
"""

import argparse
import io
import itertools
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

CLASSES = ["background", *(f"class {k}" for k in range(1, 21))]


def draw():
    "The bytes of a JPEG of about 3 KB."
    import numpy as np
    from PIL import Image

    small = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(small).resize((128, 96), Image.BICUBIC).save(file := io.BytesIO(), "JPEG", quality=80)
    return file.getvalue()


def make_folder(root, masks=8, weak=0):
    "A data folder of a few masks, and photos with tags."
    import numpy as np

    from swsss.photos.images import write_labels

    for place in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / place).mkdir(parents=True)
    names, photo = [f"s{k:07}" for k in range(masks + weak)], draw()
    for k, name in enumerate([*names, "val"]):
        (root / f"JPEGImages/{name}.jpg").write_bytes(photo)
        if k < masks or name == "val":
            write_labels(root / f"SegmentationClass/{name}.png", np.full((96, 128), k % 21, np.uint8))
    for which, listed in {"train": names[:masks], "trainaug": names, "val": ["val"]}.items():
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(listed), encoding="utf-8")
    tags = "".join(f"{name},class {k % 20 + 1};class {k % 7 + 1}\n" for k, name in enumerate([*names, "val"]))
    (root / "tags.csv").write_text(f"image,tags\n{tags}", encoding="utf-8")
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")


def make(root, count):
    "A pool of `count` rows, by what makes all pools."
    import numpy as np

    from swsss.photos import make_pool as room

    photo = draw()

    def rows(start):
        return ((f"photo {k}", lambda k=k: (photo, sorted({k % 20 + 1, k % 7 + 1}))) for k in itertools.count(start))

    size = np.empty((96, 128, 3), np.uint8)
    room.decode_image = lambda data: size  # else nearly all of the time
    about = {"photos": "benchmark", "rows": count}
    source = room.PoolSource(count, tuple(CLASSES), about, lambda start: itertools.islice(rows(start), count - start))
    room.make_pool(source, root, progress=False)


def tell(**more):
    "What was measured, as a line of JSON."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    own = int(status["RssAnon"].split()[0]) / 2**10
    print(json.dumps(more | {"peak MB": round(peak), "own MB": round(own)}), flush=True)


def measure(data, pool):
    "Seconds of each part, after the imports; the parts are those of a training."
    import numpy as np

    from swsss.method.batches import PairedBatches
    from swsss.photos.folder import VOCFolder
    from swsss.photos.pool import tagged_names, with_pool

    took, base = {}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10

    def timed(what, do):
        begun = time.perf_counter()
        done = do()
        took[what] = round(time.perf_counter() - begun, 4)
        return done

    begun, busy = time.perf_counter(), time.process_time()
    folder = timed("opened", lambda: with_pool(VOCFolder(data), pool))
    names = timed("names", lambda: tagged_names(folder, without=folder.listed("train")))
    how = {"num_strong": 6, "num_weak": 6, "crop": (96, 64), "mean": (0.4,) * 3, "std": (0.2,) * 3}
    how |= {"seed": 0, "iterations": 1000, "repeat_threshold": 0.3, "augmentation": "affine"}
    pairs = timed("tags and factors", lambda: PairedBatches(folder, folder.listed("train"), names, **how))
    timed("batch", lambda: pairs[0])
    took["first batch, all in all"] = round(time.perf_counter() - begun, 4)
    took["processor time of it"] = round(time.process_time() - busy, 4)
    matrix = timed("tags as a matrix", lambda: folder.tag_matrix(names))
    rows = np.random.default_rng(0).integers(0, len(names), 1000).tolist()
    timed("1,000 photos at random", lambda: [folder.image(names[row]) for row in rows])
    if pool:
        bytes_of = folder.pool.photo
        timed("of it their bytes", lambda: [bytes_of(row % len(folder.pool)) for row in rows])
        timed("digests of all, once", lambda: folder.pool.check(False))
        timed("digests of all, again", lambda: folder.pool.check(False))
    tell(images=len(names), **took, matrix=round(matrix.nbytes / 2**20), **{"imports MB": round(base)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--folder", type=int, nargs="*", default=[], help="folders of as many photos, too")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        return measure(*chosen.measure)
    if not (data := chosen.home / "data").is_dir():
        make_folder(data)
    for count in chosen.folder:
        if not (other := chosen.home / f"folder-{count}").is_dir():
            make_folder(other, weak=count)
        subprocess.run([sys.executable, __file__, chosen.home, "--measure", other, ""], check=True)
    for count in chosen.rows:
        pool, begun = chosen.home / f"pool-{count}", time.perf_counter()
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import resource\n"
        code += f"from pathlib import Path; from pool import make; make(Path({str(pool)!r}), {count})\n"
        code += "print('made, peak MB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, end=', ')"
        if not (pool / "pool.json").is_file():
            subprocess.run([sys.executable, "-c", code], check=True)
            print(f"{time.perf_counter() - begun:.0f} s", flush=True)
        subprocess.run([sys.executable, __file__, chosen.home, "--measure", data, pool], check=True)


if __name__ == "__main__":
    main()
