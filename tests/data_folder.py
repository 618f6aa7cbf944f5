"A small VOC-layout folder for tests, to be broken by them."

import numpy as np
from PIL import Image

from swsss.photos.folder import VOCFolder
from swsss.photos.images import write_labels

CLASSES = ["background", "disc", "square"]
SIZE = (24, 32)
LISTS = {"train": "abcd", "trainaug": "abcdefgh", "val": "xyz"}


def make_folder(root, masks="abcdxyz"):
    "Images a to h to learn from, x to z to judge on; image i shows class 1 and, where i is odd, class 2."
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    rng, rows = np.random.default_rng(0), ["image,tags"]
    for i, name in enumerate(LISTS["trainaug"] + LISTS["val"]):
        labels = np.zeros(SIZE, np.uint8)
        labels[4:10, 4:10], labels[12:18, 12:18], labels[0, 0] = 1, 2 * (i % 2), 255
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        if name in masks:
            write_labels(root / f"SegmentationClass/{name}.png", labels)
        rows.append(f"{name},disc" + ";square" * (i % 2))
    for which, names in LISTS.items():
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (root / "classes.txt").write_text("\n".join(CLASSES), encoding="utf-8")
    (root / "tags.csv").write_text("\n".join(rows), encoding="utf-8")
    return VOCFolder(root)
