"""How many crops of one size a step of the recipe `modern` takes, and what each number costs.

    python benchmarks/largest_batch.py                         # doubled until a GPU's memory is full
    python benchmarks/largest_batch.py --most 4000             # until a step takes more than 4,000 MB
    python benchmarks/largest_batch.py --backbone convnext_tiny.dinov3_lvd1689m --crops 518x518

A step is that of `gpu_step.py`: half of the crops strong, half weak, losses, gradients and the optimizer's step. With
the backbone frozen and learning; memory is what the first step takes beyond networks and photos, milliseconds are of
the second. Each number of crops is a process of its own.
"""

import argparse
import multiprocessing
import time

import torch
from backbones import peak_mb
from gpu_step import Training, synchronize

from swsss import Recipe
from swsss.method.recipe import crop_size

processes = multiprocessing.get_context("spawn")


def measure(pipe, changes, size, batch, device, threads):
    "Megabytes of the first step and milliseconds of the second; None where memory is full."
    torch.set_num_threads(threads)
    recipe = Recipe.modern(weights="none", **changes)
    try:
        training = Training(recipe, 21, size, batch // 2, batch - batch // 2, device)
        steps = training.now(1)
        if device == "cuda":
            held = torch.cuda.memory_allocated()
            next(steps)
            megabytes = (torch.cuda.max_memory_allocated() - held) / 2**20
        else:
            megabytes = peak_mb(lambda: next(steps))
        synchronize(device)
        begun = time.perf_counter()
        next(steps)
        synchronize(device)
        pipe.send((megabytes, 1000 * (time.perf_counter() - begun)))
    except torch.OutOfMemoryError:
        pipe.send(None)


def measured_apart(*what):
    "The same in a process of its own, which gives its memory back."
    here, there = processes.Pipe()
    process = processes.Process(target=measure, args=(there, *what))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:  # killed for its memory
        return None
    finally:
        process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", help="timm's name; the recipe's by default")
    parser.add_argument("--crops", nargs="+", default=["96x64", "518x518"], help="HEIGHTxWIDTH")
    parser.add_argument("--freeze", nargs="+", default=["all", "0"])
    parser.add_argument("--most", type=int, help="megabytes of a step")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    most = asked.most or (4000 if asked.device == "cpu" else None)
    print(torch.cuda.get_device_name() if asked.device == "cuda" else f"CPU, {torch.get_num_threads()} threads")
    for freeze in asked.freeze:
        for crop in asked.crops:
            changes = {"freeze": freeze if freeze == "all" else int(freeze), "crop": crop}
            changes |= {"backbone": asked.backbone} if asked.backbone else {}
            batch, fits = 2, 0
            while found := measured_apart(changes, crop_size(crop), batch, asked.device, torch.get_num_threads()):
                megabytes, took = found
                print(f"freeze={freeze}, {batch} crops of {crop}: {megabytes:.0f} MB, {took:.0f} ms a step", flush=True)
                fits, batch = batch, 2 * batch
                if most and 2 * megabytes > most:
                    break
            print(f"freeze={freeze}, {crop}: {fits} fit", "" if found else f", {batch} do not", sep="", flush=True)


if __name__ == "__main__":
    main()
