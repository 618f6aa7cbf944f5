"""A training step as it was and as it is: images a second, and how far a GPU is busy.

    python benchmarks/gpu_step.py                                  # paper (ResNet-101, 5 + 5 crops of 384) and small
    python benchmarks/gpu_step.py small --batch 24 --crop 192x128  # 12 + 12 larger crops
    python benchmarks/gpu_step.py small --device cpu --steps 2     # without a GPU: whether it runs

Before: images travel as float32 and labels as int64, each loss is waited for, kernels are launched one by one, cuDNN
guesses, float32 is exact. Now: bytes travel, losses are checked a step later, the pass is recorded where it is one,
cuDNN tries, TF32. Both are timed in turn, several times, in one process: the way to the device, losses, gradients and
the optimizer's step included, loading from disk left out. Busy: the part of the time in which a kernel runs, by the
profiler.
"""

import argparse
import time

import numpy as np
import torch

from swsss import Recipe
from swsss.method.batches import PackedBatch
from swsss.method.evaluate import DynamicEvaluation
from swsss.method.recipe import crop_size
from swsss.runs.training import (
    LossChecks,
    build_optimizer,
    gpu_settings,
    images_per_pass,
    networks_to_train,
    record_pass,
    require_finite,
    step_losses,
)


def random_batch(recipe, classes, size, num_strong, num_weak, device):
    "A packed batch of noise, in memory that a GPU reads from."
    rng, images = np.random.default_rng(0), num_strong + num_weak
    pixels = rng.integers(0, 256, (images, *size, 3), np.uint8)
    labels = rng.integers(0, classes, (images, *size), np.uint8)
    parts = [pixels, labels, np.ones((images, classes), bool), np.arange(images) < num_strong, labels < 255]
    parts = [torch.from_numpy(part) for part in parts]
    parts = [part.pin_memory() if device == "cuda" else part for part in parts]
    names = [str(k) for k in range(images)]
    return PackedBatch(*parts, names, num_strong, None, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Training:
    "A recipe's networks, and steps before and now on the same batch."

    def __init__(self, recipe, classes, size, num_strong, num_weak, device):
        self.recipe, self.device, self.size = recipe, device, size
        self.networks = networks_to_train(recipe, classes).to(device).train()
        self.optimizer, _ = build_optimizer(self.networks, recipe.optimizer)
        self.evaluation = DynamicEvaluation(classes).to(device)
        self.packed = random_batch(recipe, classes, size, num_strong, num_weak, device)
        batch = self.packed.to("cpu")
        move = torch.Tensor.pin_memory if device == "cuda" else torch.Tensor.clone
        tensors = {name: move(part) for name, part in batch._asdict().items() if torch.is_tensor(part)}
        self.unpacked = batch._replace(**tensors)
        phase = recipe.phases(92)[-1 if recipe.loss.method != "self_training" else 1]
        phase = phase._replace(num_strong=num_strong, num_weak=num_weak, crop=size)
        self.passes = images_per_pass(phase, recipe.loss.joint_batch_norm)

    def _step(self, batch, check):
        batch = batch.to(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            losses = step_losses(self.networks, batch, self.evaluation, self.recipe.loss, self.recipe.self_training)
        check(losses, 1, batch.names)
        self.optimizer.zero_grad()
        losses.total.backward()
        self.optimizer.step()

    def before(self, steps):
        for network in self.networks.values():
            network.__dict__.pop("forward", None)  # a recording
        torch.backends.cudnn.benchmark = False
        self._step(self.unpacked, require_finite)
        yield
        for _ in range(steps):
            self._step(self.unpacked, require_finite)
        yield

    def now(self, steps):
        with gpu_settings(torch.device(self.device)):
            torch.backends.cudnn.benchmark = True
            if self.device == "cuda" and len(self.passes) == 1:
                for network in self.networks.values():
                    record_pass(network, *self.passes, self.size)
            checks = LossChecks()
            self._step(self.packed, checks.add)
            yield
            for _ in range(steps):
                self._step(self.packed, checks.add)
            checks.finish()
            yield


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(way, steps, device):
    "Of one step by the wall's clock; the first, which prepares, is not counted."
    running = way(steps)
    next(running)
    synchronize(device)
    begun = time.perf_counter()
    next(running)
    synchronize(device)
    took = (time.perf_counter() - begun) / steps
    running.close()
    return took


def busy(way, steps, device):
    "The part of the time in which a kernel runs; nan on a CPU."
    if device != "cuda":
        return float("nan")
    running = way(steps)
    next(running)
    synchronize(device)
    begun = time.perf_counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        next(running)
        synchronize(device)
    took = time.perf_counter() - begun
    running.close()
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6 / took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["paper", "small"])
    parser.add_argument("--batch", type=int, help="images, strong and weak together; the recipe's by default")
    parser.add_argument("--crop", help="HEIGHTxWIDTH; the recipe's by default")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    print(torch.cuda.get_device_name() if asked.device == "cuda" else "CPU: nothing is recorded")
    for name in asked.recipes:
        recipe = Recipe.named(name, weights="none")
        batches, size = recipe.batches, crop_size(asked.crop or recipe.batches.crop)
        halves = [asked.batch // 2] * 2 if asked.batch else [batches.num_strong, batches.num_weak]
        training, times = Training(recipe, asked.classes, size, *halves, asked.device), []
        ways = training.before, training.now
        for _ in range(asked.turns):
            times.append([seconds(way, asked.steps, asked.device) for way in ways])
        times, images = np.array(times), sum(halves)
        ratios = times[:, 0] / times[:, 1]
        share = [busy(way, 5, asked.device) for way in ways]
        print(f"{name}, {images} crops of {size[0]}x{size[1]}, {len(training.passes)} pass(es) a network:")
        for word, took, part in zip(("before", "now"), np.median(times, 0), share, strict=True):
            print(f"    {word:6} {images / took:8.1f} images a second, {1000 * took:7.1f} ms a step, busy {part:.0%}")
        print(f"    ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")


if __name__ == "__main__":
    main()
