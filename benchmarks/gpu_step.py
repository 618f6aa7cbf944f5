"""How much faster a GPU trains a network whose pass is recorded once and replayed, than one that is launched anew.

python benchmarks/gpu_step.py                     recipe `small`: 6 crops of 96x64
python benchmarks/gpu_step.py --batch 24 --crop 192x128

Both are timed in turn, several times, in one process; losses, gradients and the optimizer's step included.
"""

import argparse
import time

import numpy as np
import torch

from swsss import Recipe
from swsss.method.pct import supervised_losses
from swsss.method.recipe import crop_size
from swsss.runs.training import build_networks, build_optimizer, record_pass

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--recipe", default="small")
parser.add_argument("--batch", type=int, default=6)
parser.add_argument("--crop", default="96x64")
parser.add_argument("--classes", type=int, default=15)
parser.add_argument("--steps", type=int, default=60)
parser.add_argument("--turns", type=int, default=5)
asked = parser.parse_args()

recipe, size = Recipe.named(asked.recipe, weights="none"), crop_size(asked.crop)
networks = build_networks(recipe.network, asked.classes, ("hybrid",)).cuda()
optimizer, _ = build_optimizer(networks, recipe.optimizer)
network = networks["hybrid"]
images = torch.randn(asked.batch, 3, *size, device="cuda")
labels = torch.randint(0, asked.classes, (asked.batch, *size), device="cuda")
tags = torch.ones(asked.batch, asked.classes, dtype=torch.bool, device="cuda")


def seconds(steps):
    "Of one step, by the wall's clock, the GPU's work included."
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        with torch.autocast("cuda", torch.bfloat16):
            losses = supervised_losses(network(images), labels, tags, asked.batch, True, 0.0, False, 1.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / steps


launched, replayed = [], []
for turn in range(asked.turns + 1):
    network.__dict__.pop("forward", None)
    times = [seconds(asked.steps if turn else 5)]
    record_pass(network, asked.batch, size)
    times.append(seconds(asked.steps if turn else 5))
    if turn:  # the first warms up
        launched.append(times[0])
        replayed.append(times[1])
ratios = np.array(launched) / replayed
print(f"{torch.cuda.get_device_name()}, {asked.recipe}, {asked.batch} crops of {asked.crop}:")
print(f"launched {1000 * np.median(launched):.1f} ms a step, replayed {1000 * np.median(replayed):.1f} ms, ", end="")
print(f"ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
