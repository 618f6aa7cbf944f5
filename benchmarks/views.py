"""A photo and its mirror image as one batch of a channels-last network, against one by one, in turn, on one CPU core.

    OMP_NUM_THREADS=1 python benchmarks/views.py [--backbone tf_efficientnet_lite0] [--rounds 9]

Prints the median over the rounds of how many times longer one by one takes, with the least and the greatest.
"""

import argparse
import time

import numpy as np
import torch

from swsss.method import predict
from swsss.method.model import DeepLabV3Plus

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--backbone", default="tf_efficientnet_lite0")
parser.add_argument("--rounds", type=int, default=9)
asked = parser.parse_args()
torch.set_num_threads(1)

network = DeepLabV3Plus(15, asked.backbone, "none", 16, 64).eval()
together = predict.FLIP_BATCH_PIXELS


def seconds(image, layout, most):
    """Processor seconds of the logits of one photo."""
    network.to(memory_format=layout)
    predict.FLIP_BATCH_PIXELS = most
    begun = time.process_time()
    predict.working_logits(network, image)
    return time.process_time() - begun


for height, width in ((172, 115), (344, 230)):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    ways = ((torch.channels_last, together), (torch.contiguous_format, 0))
    times = np.array([[seconds(image, *way) for way in ways] for _ in range(asked.rounds + 1)])
    times = times[1:]  # the first warms up
    ratio = times[:, 1] / times[:, 0]
    print(
        f"{height}x{width}: {1000 * np.median(times[:, 0]):.0f} ms, one by one {np.median(ratio):.2f} times as long "
        f"({ratio.min():.2f} to {ratio.max():.2f})"
    )
