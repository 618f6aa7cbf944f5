"""How many more steps a second several processes make than one, on the built-in scenes.

python benchmarks/processes.py                          recipe `demo`, 1 and 2 processes, three turns
python benchmarks/processes.py --processes 1 2 4 --field method=self_training

Each trains in turn, from its 11th step to the last, PyTorch with one thread a process. On a machine with other work, or
with fewer cores than processes, the ratio says little.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from swsss import Recipe
from swsss.photos.folder import open_folder, read_split
from swsss.runs import training

SKIPPED = 10  # steps, in which caches fill


def timed(recipe, folder, strong, path, device, origin, out):
    "Train, and write down how many steps a second it made."
    losses_of, begun = training.step_losses, []

    def step_losses(*arguments):
        begun.append(time.perf_counter())
        return losses_of(*arguments)

    training.step_losses = step_losses
    training.train(recipe, folder, strong, path, device, origin)
    training.step_losses = losses_of
    steps = len(begun) - 1 - SKIPPED
    Path(out).write_text(str(steps / (begun[-1] - begun[SKIPPED])), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--data", default="demo")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--field", action="append", default=[], help="FIELD=VALUE of the recipe")
    asked = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (field.split("=", 1) for field in asked.field)}
    recipe = Recipe.demo(**{"iterations": 100, "snapshots": 0, "save_every": 10**6, **changes})
    folder = open_folder(asked.data)
    strong, device = read_split(folder, recipe.split), training.find_device()
    torch.set_num_threads(max(asked.processes))  # is divided by their number
    found = {count: [] for count in asked.processes}
    for _ in range(asked.turns):
        for count in asked.processes:
            with tempfile.TemporaryDirectory() as place:
                what = recipe, folder.with_labels(None, keep=strong), strong, f"{place}/run"
                devices = training.devices_of(count, device)
                arguments = [(*what, where, None, f"{place}/{k}") for k, where in enumerate(devices)]
                with training.graceful_stop() as stop:  # one process is begun like several
                    training.run_together(count, stop, timed, arguments)
                found[count].append(float(Path(place, "0").read_text(encoding="utf-8")))
    for count, speeds in found.items():
        ratios = np.array(speeds) / found[asked.processes[0]]
        spread = f"{ratios.min():.2f} to {ratios.max():.2f}"
        print(f"{count} processes: {np.median(speeds):.1f} steps/s, ratio {np.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    main()
