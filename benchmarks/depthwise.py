"""A training step with depthwise gradients tap by tap against PyTorch's own, in turn, on one CPU core.

    OMP_NUM_THREADS=1 python benchmarks/depthwise.py [--backbone tf_efficientnet_lite0] [--rounds 9]

Prints the median over the rounds of how many times longer PyTorch's own takes, with the least and the greatest.
"""

import argparse
import time

import numpy as np
import torch

from swsss.method.model import DeepLabV3Plus, fast_depthwise_backward

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backbone", default="tf_efficientnet_lite0")
parser.add_argument("--rounds", type=int, default=9)
asked = parser.parse_args()
torch.set_num_threads(1)


def step_of(network, images):
    """A function that takes one step and says how long it took, processor seconds."""
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)

    def step():
        begun = time.process_time()
        network(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.process_time() - begun

    return step


for stride, channels, size in ((16, 64, (96, 64)), (8, 256, (96, 64)), (16, 64, (192, 128))):
    images = torch.randn(6, 3, *size).to(memory_format=torch.channels_last)
    plain = DeepLabV3Plus(15, asked.backbone, "none", stride, channels).to(memory_format=torch.channels_last)
    quick = fast_depthwise_backward(DeepLabV3Plus(15, asked.backbone, "none", stride, channels))
    steps = [step_of(network, images) for network in (plain, quick.to(memory_format=torch.channels_last))]
    times = np.array([[step() for step in steps] for _ in range(asked.rounds + 1)])[1:]  # the first warms up
    ratio = times[:, 0] / times[:, 1]
    print(
        f"output_stride {stride}, {channels} channels, 6 crops of {size[0]}x{size[1]}: {np.median(times[:, 1]):.3f} s, "
        f"PyTorch's own {np.median(ratio):.2f} times as long ({ratio.min():.2f} to {ratio.max():.2f})"
    )
