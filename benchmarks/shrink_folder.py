"""A folder of photos and masks in VOC's layout, smaller: to travel, or to be read faster.

python benchmarks/shrink_folder.py DATA SMALLER --longest-side 344
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from swsss.method.augment import reduced
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_image, read_labels, write_labels

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("smaller", type=Path)
parser.add_argument("--longest-side", type=int, default=344)
asked = parser.parse_args()

folder = VOCFolder(asked.data)
for part in ("JPEGImages", "SegmentationClass"):
    (asked.smaller / part).mkdir(parents=True, exist_ok=True)
for name in tqdm(folder.names, "photos", disable=None):
    photo = Image.fromarray(reduced(read_image(folder.image_path(name)), asked.longest_side))
    photo.save(asked.smaller / f"JPEGImages/{name}.jpg", quality=92)
    if folder.has_mask(name):
        labels = reduced(read_labels(folder.mask_path(name)), asked.longest_side)
        write_labels(asked.smaller / f"SegmentationClass/{name}.png", labels)
for kept in ("classes.txt", "tags.csv", "ImageSets", "Annotations"):
    source = asked.data / kept
    if source.is_dir():
        shutil.copytree(source, asked.smaller / kept, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copy2(source, asked.smaller)
