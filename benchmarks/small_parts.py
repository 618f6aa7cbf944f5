"""What the recipe `small` spends its time on, in this checkout against another one, in turn, on one CPU core.

    OMP_NUM_THREADS=1 python benchmarks/small_parts.py DATA [--against CHECKOUT] [--turns 5]
    python benchmarks/small_parts.py DATA --against . --threads 2

DATA is a folder of photos (data/README.md). Each turn starts one process a checkout, which takes a few steps of each
phase, labels a few photos and says the processor time of each part (of a part's tries the fastest). Printed are the
medians over the turns with the ratios within a turn, then both added up with the counts of a default run of
`--masks` masks; the loader (4% of it) and what a run writes are not in the sum. With `--threads N` this checkout takes
N threads, the other checkout one, and times are those of a clock.
"""

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from swsss.method.batches import PairedBatches
from swsss.method.evaluate import confusion_matrix
from swsss.method.model import DeepLabV3Plus
from swsss.method.predict import predict_labels
from swsss.method.recipe import Recipe
from swsss.method.self_training import class_prior_bias, write_round_labels
from swsss.photos.folder import VOCFolder
from swsss.runs.training import build_optimizer, networks_to_train, step_losses

LABELLED = 32  # photos; a quarter of them are the sample of the class-area prior, as in a default run


def fastest(work, times):
    """The least seconds of one call: of the processor with one thread, of a clock with more."""
    found = []
    for _ in range(times + 1):  # the first warms up
        begun = given.clock()
        work()
        found.append(given.clock() - begun)
    return min(found[1:])


def batch_of(folder, recipe, phase, network, names):
    """A batch of a phase; in a round its weak photos have labels of one class."""
    how = {"augmentation": "affine", "longest_side": 172, "crop": phase.crop, "iterations": 1, "seed": 0}
    how |= {"num_strong": phase.num_strong, "num_weak": phase.num_weak, "mean": network.mean, "std": network.std}
    batch = PairedBatches(folder, *names, **how)[0]
    if phase.kind == "self-training":
        labels = torch.where(batch.labels == 255, 0, batch.labels)
        batch = batch._replace(labels=labels, weights=torch.rand(labels.shape))
    return batch


def steps(folder, recipe, masks, found):
    """Seconds of a step of each phase."""
    names = folder.listed("train")[:masks], folder.listed("trainaug")
    networks = networks_to_train(recipe, folder.num_classes)
    phases = recipe.phases(masks)
    for phase in {phase.kind: phase for phase in phases}.values():
        optimizer, _ = build_optimizer(networks.train(), recipe.optimizer, phases)
        batch = batch_of(folder, recipe, phase, networks["hybrid"], names)

        def step(optimizer=optimizer, batch=batch):
            losses = step_losses(networks, batch, None, recipe.loss, recipe.self_training)
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()

        found[f"step: {phase.kind}"] = fastest(step, 4)
    return networks["hybrid"]


def labels(folder, network, masks, found):
    """Seconds a photo: pseudo labels of a round with the prior, labels of a label folder."""
    strong, weak = folder.listed("train")[:masks], folder.listed("trainaug")[-LABELLED:]
    reused = "seen" in inspect.signature(class_prior_bias).parameters

    def label_round():
        with tempfile.TemporaryDirectory() as path:
            seen = {"seen": {}} if reused else {}
            bias = class_prior_bias(network, folder, strong, weak, LABELLED // 4, **seen)
            write_round_labels(Path(path), network, folder, weak, bias, **seen)

    found["photo: a round"] = fastest(label_round, 1) / LABELLED
    photos = [(folder.image(name), folder.tags(name)) for name in weak[:4]]
    for title, tagged in (("with tags", True), ("without tags", False)):
        given = [(photo, tags if tagged else None) for photo, tags in photos]
        found[f"photo: {title}"] = fastest(partial(label, network, given), 2) / len(given)


def label(network, photos):
    """Labels of photos, one by one."""
    for photo, tags in photos:
        predict_labels(network, photo, tags, scales=(1.0,))


def many_classes(found):
    """Seconds of the labels of a photo of 900x600 pixels with six tags, or without, by the number of classes."""
    photo = np.random.default_rng(0).integers(0, 256, (900, 600, 3), np.uint8)
    for classes in (15, 150):
        network = DeepLabV3Plus(classes, "tf_efficientnet_lite0", "none", 16, 64, 172, 0.0, True).eval()
        network.to(memory_format=torch.channels_last)
        tags = np.isin(np.arange(classes), (0, 1, 3, 5, 9, 11, 14))
        for title, given in (("6 tags", tags), ("no tags", None)):
            found[f"900x600: {classes} classes, {title}"] = fastest(partial(label, network, [(photo, given)]), 2)
    pair = torch.from_numpy(np.random.default_rng(0).integers(0, 15, (2, 900, 600)))
    found["confusion of 900x600"] = fastest(partial(confusion_matrix, *pair, 15), 4)


def measure(asked):
    """The parts of this checkout, as JSON."""
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    folder, recipe, found = VOCFolder(asked.data), Recipe.small(split=asked.masks), {}
    network = steps(folder, recipe, asked.masks, found)
    labels(folder, network, asked.masks, found)
    many_classes(found)
    print("JSON" + json.dumps(found))


def default_run(folder, masks):
    """Part -> how often it comes in a default run."""
    phases, weak = Recipe.small(split=masks).phases(masks), len(folder.listed("trainaug")) - masks
    counts = {}
    for phase in phases:
        counts[f"step: {phase.kind}"] = counts.get(f"step: {phase.kind}", 0) + phase.stop - phase.start
    rounds = [
        min(weak, (phase.stop - phase.start) * phase.num_weak) for phase in phases if phase.kind == "self-training"
    ]
    return counts | {"photo: a round": sum(rounds)}


def compare(asked):
    """Both checkouts in turn."""
    places, turns = [(asked.against, 1), (Path(__file__).parent.parent, asked.threads)], []
    for _ in range(asked.turns):
        turns.append([])
        for place, threads in places:
            command = [sys.executable, __file__, str(asked.data), "--masks", str(asked.masks)]
            command += ["--threads", str(threads)] + ["--wall"] * (asked.threads > 1)
            environment = {**os.environ, "PYTHONPATH": str(place.resolve()), "OMP_NUM_THREADS": str(threads)}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            turns[-1].append(json.loads(done.stdout.rpartition("JSON")[2]))
    counts = default_run(VOCFolder(asked.data), asked.masks)
    sums = [[sum(counts[part] * times[part] for part in counts) for times in turn] for turn in turns]
    for part in turns[0][0]:
        times = np.array([[1000 * found[part] for found in turn] for turn in turns])
        print(f"{part:34} {in_words(times, 'ms')}")
    print(f"a default run of {asked.masks} masks: {in_words(np.array(sums) / 60, 'minutes')}")


def in_words(times, unit):
    """Medians of (turns, 2) times, and the ratios within a turn."""
    (before, now), ratios = np.median(times, 0), times[:, 0] / times[:, 1]
    return f"{before:.1f} -> {now:.1f} {unit}, {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("--masks", type=int, default=15)
parser.add_argument("--against", type=Path, help="another checkout")
parser.add_argument("--turns", type=int, default=5)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--wall", action="store_true", help=argparse.SUPPRESS)
given = parser.parse_args()
given.clock = time.perf_counter if given.wall or given.threads > 1 else time.process_time
compare(given) if given.against else measure(given)
