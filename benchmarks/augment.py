"""OpenCV against torchvision's v2 functional and against Pillow (the published way), in turn, inside one loader worker.

    python benchmarks/augment.py [--rounds 15] [--size 500 375] [--crop 384]

Prints, for each operation and for a whole sample of the published augmentation, how many times
longer the other two take (median over the rounds of the ratio within a round, so that a busy machine
slows all three alike), then what a paired batch costs on top of reading its photos: the floor below
which augmentation can save nothing.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from swsss.method import augment
from swsss.method.batches import PairedBatches
from swsss.photos.folder import VOCFolder
from swsss.photos.images import IGNORE_INDEX, write_labels

MEAN, STD, FILL = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [124, 116, 104]
BILINEAR, NEAREST = InterpolationMode.BILINEAR, InterpolationMode.NEAREST
AMOUNTS = {"posterise": 5, "solarise": 100, "scale": 0.7, "shear": (0.2, 0.1), "rotate": 25.0}


def amount_of(name):
    """The one amount an operation is timed at."""
    return AMOUNTS.get(name, 1.5)


def photo(width, height, seed=0):
    """A smooth photo-like picture with a little noise, and labels in large patches."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.uniform(0, 255, (9, 12, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    labels = cv2.resize(rng.integers(0, 5, (6, 8), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return image, labels


TORCH_COLOUR = {
    "autocontrast": lambda image, _: TF.autocontrast(image),
    "brightness": TF.adjust_brightness,
    "colour": TF.adjust_saturation,
    "contrast": TF.adjust_contrast,
    "equalise": lambda image, _: TF.equalize(image),
    "invert": lambda image, _: TF.invert(image),
    "posterise": TF.posterize,
    "sharpness": TF.adjust_sharpness,
    "solarise": TF.solarize,
}
PIL_COLOUR = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "colour": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "equalise": lambda image, _: ImageOps.equalize(image),
    "invert": lambda image, _: ImageOps.invert(image),
    "posterise": ImageOps.posterize,
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "solarise": ImageOps.solarize,
}


def torch_scale(image, labels, v):
    size = [round(side * v) for side in image.shape[-2:]]
    return TF.resize(image, size, BILINEAR, antialias=True), TF.resize(labels, size, NEAREST)


def torch_affine(image, labels, angle, shear):
    degrees = np.rad2deg(np.arctan(shear)).tolist()
    there = {"angle": angle, "translate": [0, 0], "scale": 1.0, "shear": degrees}
    return (
        TF.affine(image, **there, interpolation=BILINEAR, fill=FILL),
        TF.affine(labels, **there, interpolation=NEAREST, fill=[IGNORE_INDEX]),
    )


def pil_scale(image, labels, v):
    size = [round(side * v) for side in image.size]
    return image.resize(size, Image.BILINEAR), labels.resize(size, Image.NEAREST)


def pil_shear(image, labels, v):
    matrix = (1, v[0], -v[0] * image.height / 2, v[1], 1, -v[1] * image.width / 2)
    return (
        image.transform(image.size, Image.AFFINE, matrix, Image.BILINEAR, fillcolor=tuple(FILL)),
        labels.transform(image.size, Image.AFFINE, matrix, Image.NEAREST, fillcolor=IGNORE_INDEX),
    )


TORCH_GEOMETRIC = {
    "scale": torch_scale,
    "flip": lambda image, labels, _: (TF.horizontal_flip(image), TF.horizontal_flip(labels)),
    "shear": lambda image, labels, v: torch_affine(image, labels, 0.0, v),
    "rotate": lambda image, labels, v: torch_affine(image, labels, v, (0.0, 0.0)),
}
PIL_GEOMETRIC = {
    "scale": pil_scale,
    "flip": lambda image, labels, _: (ImageOps.mirror(image), ImageOps.mirror(labels)),
    "shear": pil_shear,
    "rotate": lambda image, labels, v: (
        image.rotate(v, Image.BILINEAR, fillcolor=tuple(FILL)),
        labels.rotate(v, Image.NEAREST, fillcolor=IGNORE_INDEX),
    ),
}


def finish_torch(image, labels, crop):
    """Pad, crop and normalise as torchvision does it."""
    right, bottom = max(0, crop - image.shape[-1]), max(0, crop - image.shape[-2])
    if right or bottom:
        image = TF.pad(image, [0, 0, right, bottom], fill=FILL)
        labels = TF.pad(labels, [0, 0, right, bottom], fill=IGNORE_INDEX)
    image = TF.normalize(TF.to_dtype(image[:, :crop, :crop], torch.float32, scale=True), MEAN, STD)
    return image, labels[:, :crop, :crop].long()


def finish_pil(image, labels, crop):
    """The same from Pillow images, through torchvision's conversion, as the published code has it."""
    return finish_torch(TF.pil_to_tensor(image), TF.pil_to_tensor(labels), crop)


def finish_ours(image, labels, crop):
    image, labels = augment.crop_pair(image, labels, (crop, crop), np.random.default_rng(0), FILL)
    valid = labels != augment.PADDING
    return augment.normalise(image, MEAN, STD), np.where(valid, labels, IGNORE_INDEX).astype(np.int64), valid


def candidates(width, height, crop):
    """{name of a piece of work: (ours, torchvision's, Pillow's)}, each a function of nothing."""
    image, labels = photo(width, height)
    ours = image, labels.astype(np.int16)
    tensors = torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(labels)[None]
    pils = Image.fromarray(image), Image.fromarray(labels)
    work = {}
    for name, (op, *_) in augment.COLOUR_OPS.items():
        v = amount_of(name)
        work[name] = (
            lambda op=op, v=v: op(ours[0], v),
            lambda name=name, v=v: TORCH_COLOUR[name](tensors[0], v),
            lambda name=name, v=v: PIL_COLOUR[name](pils[0], v),
        )
    for name, (op, _) in augment.GEOMETRIC_OPS.items():
        v = amount_of(name)
        work[name] = (
            lambda op=op, v=v: op(*ours, v, FILL),
            lambda name=name, v=v: TORCH_GEOMETRIC[name](*tensors, v),
            lambda name=name, v=v: PIL_GEOMETRIC[name](*pils, v),
        )
    work["crop and normalise"] = (
        lambda: finish_ours(*ours, crop),
        lambda: finish_torch(*tensors, crop),
        lambda: finish_pil(*pils, crop),
    )
    return work | {"published samples, mean of 24": published_samples(ours, crop)}


def published_samples(pair, crop, draws=24):
    """Whole samples from a decoded array to what a batch holds, by the same draws for all three."""
    rng, plans = np.random.default_rng(0), []
    for _ in range(draws):
        k = rng.integers(3)
        plans.append((
            rng.permutation(list(augment.COLOUR_OPS))[:k].tolist(),
            rng.permutation(list(augment.GEOMETRIC_OPS))[: 2 - k].tolist(),
        ))  # fmt: skip

    def run(start, colour, geometric, finish):
        for colours, moves in plans:
            image, labels = start()
            for name in colours:
                image = colour(name)(image, amount_of(name))
            for name in moves:
                image, labels = geometric(name)(image, labels, amount_of(name))
            finish(image, labels, crop)

    image, labels = pair[0], pair[1].astype(np.uint8)
    return (
        lambda: run(
            lambda: pair,
            lambda name: augment.COLOUR_OPS[name][0],
            lambda name: lambda i, m, v: augment.GEOMETRIC_OPS[name][0](i, m, v, FILL),
            finish_ours,
        ),
        lambda: run(
            lambda: (torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(labels)[None]),
            TORCH_COLOUR.get,
            TORCH_GEOMETRIC.get,
            finish_torch,
        ),
        lambda: run(
            lambda: (Image.fromarray(image), Image.fromarray(labels)), PIL_COLOUR.get, PIL_GEOMETRIC.get, finish_pil
        ),
    )


class Rounds(Dataset):
    """Item k is round k of the measurement, so that it runs where samples are made: inside a loader worker."""

    def __init__(self, rounds, size, crop):
        self.rounds, self.size, self.crop, self.work = rounds, size, crop, None

    def __len__(self):
        return self.rounds

    def __getitem__(self, k):
        cv2.setNumThreads(0)
        self.work = self.work or candidates(*self.size, self.crop)
        times = np.empty((len(self.work), 3))
        for row, ways in enumerate(self.work.values()):
            for column in np.roll(range(3), k):  # nobody is always first
                start = time.perf_counter()
                for _ in range(1 if row == len(self.work) - 1 else 5):
                    ways[column]()
                times[row, column] = (time.perf_counter() - start) / (24 if row == len(self.work) - 1 else 5)
        return times


class Floor(PairedBatches):
    """Reads what a paired batch reads, and does nothing with it."""

    def __getitem__(self, iteration):
        cv2.setNumThreads(0)
        for name in self.names(iteration):
            self._photo(name)
        return 0


def write_folder(root, width, height, count=24):
    """A folder of photos of the size asked for, half of them with masks."""
    for sub in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / sub).mkdir(parents=True)
    names = [f"{k:03d}" for k in range(count)]
    for k, name in enumerate(names):
        image, labels = photo(width, height, k)
        cv2.imwrite(str(root / f"JPEGImages/{name}.jpg"), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
        write_labels(root / f"SegmentationClass/{name}.png", labels)
    (root / "classes.txt").write_text("background\na\nb\nc\nd\n")
    (root / "tags.csv").write_text("image,tags\n" + "".join(f"{name},a;b;c;d\n" for name in names))
    for split, listed in (("train", names[: count // 2]), ("trainaug", names), ("val", names[:1])):
        (root / f"ImageSets/Segmentation/{split}.txt").write_text("\n".join(listed) + "\n")
    return VOCFolder(root)


def batch_cost(root, size, crop, rounds):
    """Milliseconds a 5 + 5 batch (reading alone, published, light) of one worker, medians."""
    folder = write_folder(root, *size)
    plain = (folder, folder.listed("train"), folder.listed("trainaug"), 5, 5, crop, MEAN, STD, 0, 12)
    how = {"cache_bytes": 0}  # else the photos are read once
    makers = [kind(*plain, **how) for kind in (Floor, PairedBatches)]
    makers.append(PairedBatches(*plain, **how, augmentation="light"))
    times = np.empty((rounds, 3))
    for row in times:
        for k, maker in enumerate(makers):
            loader = iter(DataLoader(maker, batch_size=None, num_workers=1))
            next(loader)
            start = time.perf_counter()
            row[k] = 1000 * (sum(1 for _ in loader) and time.perf_counter() - start) / 11
    return np.median(times, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--size", type=int, nargs=2, default=(500, 375), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--crop", type=int, default=384)
    args = parser.parse_args()
    loader = DataLoader(Rounds(args.rounds + 1, args.size, args.crop), batch_size=None, num_workers=1)
    times = np.stack([np.asarray(item) for item in loader])[1:]  # the first round warms up
    ratios = np.median(times / times[..., :1], 0)
    print(f"OpenCV {cv2.__version__}, torch {torch.__version__}, photo {args.size[0]}x{args.size[1]}, crop {args.crop}")
    print(f"{'':28}{'OpenCV ms':>10}{'torchvision':>13}{'Pillow':>9}")
    for name, row, ratio in zip(candidates(*args.size, args.crop), np.median(times, 0), ratios, strict=True):
        print(f"{name:28}{1000 * row[0]:10.3f}{ratio[1]:12.1f}x{ratio[2]:8.1f}x")
    with tempfile.TemporaryDirectory() as root:
        floor, published, light = batch_cost(Path(root) / "voc", args.size, args.crop, 3)
    ratios = f"published {published / floor:.2f}x that, light {light / floor:.2f}x"
    print(f"\nBatch of 5 + 5: reading alone {floor:.0f} ms, {ratios}.")


if __name__ == "__main__":
    main()
