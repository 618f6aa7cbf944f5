"""How long VOCFolder.check takes on many images: first look, from its cache, and deep.

python benchmarks/check_folder.py                          20,000 images of VOC's size, 1,464 + 1,449 masks
python benchmarks/check_folder.py --images 2000 --size 64 64
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from swsss.photos.folder import VOCFolder
from swsss.photos.images import VOC_CLASSES, write_labels

DIFFERENT = 200  # made-up photos; every file is one of these with its own name


def photo(rng, size):
    "A smooth picture with some noise: about as many bytes as a photo of that size."
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.float32)
    picture = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC) + rng.normal(0, 6, (*size, 3))
    return picture.clip(0, 255).astype(np.uint8)


def write_folder(root, images, strong, val, size):
    "A VOC-layout folder of `images` images, the first `strong` and the last `val` of them with masks."
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    blobs = []
    for _ in range(min(DIFFERENT, images)):
        Image.fromarray(photo(rng, size)).save(root / "x.jpg", quality=90)
        coarse = rng.integers(0, 21, (6, 8), dtype=np.uint8)
        write_labels(root / "x.png", cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST))
        blobs.append(((root / "x.jpg").read_bytes(), (root / "x.png").read_bytes()))
    names = [f"{i:06}" for i in range(images)]
    for i, name in enumerate(names):
        image, mask = blobs[i % len(blobs)]
        (root / f"JPEGImages/{name}.jpg").write_bytes(image)
        if i < strong or i >= images - val:
            (root / f"SegmentationClass/{name}.png").write_bytes(mask)
    lists = {"train": names[:strong], "trainaug": names[: images - val], "val": names[images - val :]}
    for which, listed in lists.items():
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(listed), encoding="utf-8")
    tags = ";".join(VOC_CLASSES[1:])
    (root / "tags.csv").write_text("image,tags\n" + "\n".join(f"{name},{tags}" for name in names), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--strong", type=int, default=1464)
    parser.add_argument("--val", type=int, default=1449)
    parser.add_argument("--size", type=int, nargs=2, default=(375, 500), metavar=("H", "W"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = temporary
        root = Path(temporary) / "many"
        write_folder(root, args.images, args.strong, args.val, tuple(args.size))
        print(f"{args.images:,} images of {args.size[0]} x {args.size[1]}, {args.strong + args.val:,} masks")
        for label, deep in (("first look", False), ("from its cache", False), ("deep", True)):
            start = time.perf_counter()
            VOCFolder(root).check(deep=deep, progress=False)
            print(f"{label:15} {time.perf_counter() - start:6.1f} s")


if __name__ == "__main__":
    main()
