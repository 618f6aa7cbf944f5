"""What quick learning gains on val, and the processor time that it takes.

    python benchmarks/quick.py runs/mine                        # 10 and 40 more masks, three draws each
    python benchmarks/quick.py runs/mine --more 40 --draws 1
    python benchmarks/quick.py runs/mine --lists           # the masks of each draw, as lists to train on
    python benchmarks/quick.py runs/mine --draws 0 --whole runs/mine-40-0    # what such a training gained

True masks of train.txt that the run did not learn from stand in for a person's corrections, beside them photos with
tags and the run's own labels (`--weak 0`: none). Each row is one network
that began from the run's decoder: the mIoU of val at the network's working size, mirrored too and without refinement,
with tags and without, beside the run's own, with the spread of the gain over the photos of val. Features are kept
beside the run, as always. `--lists` writes `mine+40-0.txt`, ... beside the run, for `train_one.py ... split=LIST`, so
that a whole training sees the masks that quick learning saw; `--whole` measures such runs in the same way.
"""

import argparse
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from swsss.method.augment import normalise, reduced
from swsss.method.evaluate import confusion_matrix
from swsss.method.model import load_network, tag_prior_bias
from swsss.method.predict import predict_labels, tag_logits, working_photo
from swsss.method.recipe import Recipe
from swsss.photos.folder import VOCFolder, read_split
from swsss.runs.features import frozen_features
from swsss.runs.quick import (
    BATCH_SIZE,
    FEW,
    MAX_WEAK,
    STEPS,
    Example,
    draw_factors,
    draw_names,
    gain_on_val,
    learn_decoder,
    read_example,
    with_weak,
)
from swsss.runs.run_folder import data_of, networks_of, read_recipe


def counts_on_val(network, runs, read, shifts, num_classes):
    "(2, N, 3, C): with tags and without; right, in the mask, in the label."
    rows = []
    with torch.inference_mode(), frozen_features(network, runs):
        for name, (tags, shift) in shifts.items():
            example, counts = read(name), []
            image = normalise(example.photo, network.mean, network.std)
            plain, mirrored = network(torch.stack([image, image.flip(-1)]))
            logits = (plain + mirrored.flip(-1)) / 2
            off_tags = torch.from_numpy(~tags)[:, None, None]
            for maps in (logits.masked_fill(off_tags, -torch.inf), logits + shift[:, None, None]):
                confusion = confusion_matrix(maps.argmax(0), torch.from_numpy(example.labels), num_classes).numpy()
                counts.append([np.diag(confusion), confusion.sum(1), confusion.sum(0)])
            rows.append(counts)
    return np.array(rows).swapaxes(0, 1)


def prior(network, image):
    "What the tag classifier adds without tags, which quick learning leaves as it is."
    if not network.classifier_weight:
        return torch.zeros(network.num_classes)
    return tag_prior_bias(tag_logits(network, image)[None], network.classifier_weight)[0]


def pseudo_examples(network, folder, names):
    "What the network's labels of photos with tags teach, by name."
    found = {}
    for name in names:
        image, tags = folder.image(name), folder.tags(name)
        labels, _ = predict_labels(network, image, tags, scales=(1.0,), flip=True)
        photo = working_photo(network, image)
        found[name] = Example(photo, reduced(labels, max(photo.shape[:2])), tags)
    return found


def measured(network, place, folder, names):
    "Counts on val of a network of any run, with its own prior and at its own working size."
    read = lru_cache(None)(lambda name: read_example(network, folder, name))
    shifts = {name: (folder.tags(name), prior(network, folder.image(name))) for name in names}
    return counts_on_val(network, place, read, shifts, folder.num_classes)


def show(title, before, after):
    "Both gains of a network."
    gains = [gain_on_val(*pair) for pair in zip(before, after, strict=True)]
    print(title, *(f"    {how}: {gain}" for how, gain in zip(("with tags", "without"), gains, strict=True)), sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--more", type=int, nargs="+", default=[10, 40], help="masks beside the run's own")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--weak", type=int, default=MAX_WEAK, help="photos with pseudo labels; 0: masks alone")
    parser.add_argument("--few", type=int, default=FEW, help="masks up to which these are used")
    parser.add_argument("--lists", action="store_true", help="write the masks of each draw, and learn nothing")
    parser.add_argument("--whole", type=Path, nargs="*", default=[], help="runs trained on such lists")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder, recipe = VOCFolder(data_of(given.run)), Recipe.paper(**read_recipe(given.run))
    strong, file = read_split(folder, recipe.split), networks_of(given.run)["hybrid"]
    pool = [name for name in folder.listed("train") if name not in strong]
    draws = [(more, draw) for more in given.more for draw in range(given.draws)]
    drawn_masks = {(more, draw): np.random.default_rng(draw).permutation(pool)[:more] for more, draw in draws}
    if given.lists:
        for (more, draw), masks in drawn_masks.items():
            path = given.run.with_name(f"{given.run.name}+{more}-{draw}.txt")
            path.write_text("\n".join([*strong, *masks, ""]), encoding="utf-8")
            print(path)
        return
    network = load_network(file, device="cpu")
    read = lru_cache(None)(lambda name: read_example(network, folder, name))
    shifts = {name: (folder.tags(name), prior(network, folder.image(name))) for name in folder.listed("val")}
    place = given.run.absolute().parent, read, shifts, folder.num_classes
    before = counts_on_val(network, *place)
    weak = [name for name in folder.listed("trainaug") if name not in folder.listed("train")]
    weak = np.random.default_rng(5).permutation(weak)[: given.weak].tolist()
    pseudo = pseudo_examples(network, folder, weak if drawn_masks else [])
    for (more, draw), masks in drawn_masks.items():
        learner, names = load_network(file, device="cpu"), [*strong, *masks]
        factors = draw_factors(np.stack([folder.tags(n) for n in names]), more, recipe.batches.repeat_threshold)
        drawn, begun = draw_names(names, factors, given.steps * BATCH_SIZE, draw), time.process_time()
        drawn, size = with_weak(drawn, BATCH_SIZE, weak if len(names) <= given.few else [], draw)
        torch.manual_seed(draw)
        with frozen_features(learner, place[0]):
            learn_decoder(learner, lambda name: pseudo.get(name) or read(name), drawn, recipe, size, seed=draw)
        took = time.process_time() - begun
        title = f"{len(strong)} + {more} masks, draw {draw}, {took:.1f} s of one core"
        show(title, before, counts_on_val(learner, *place))
    for run in given.whole:
        whole = load_network(networks_of(run)["hybrid"], device="cpu")
        masks = len(read_split(folder, read_recipe(run)["split"]))
        show(f"{run.name}, {masks} masks", before, measured(whole, run.absolute().parent, folder, shifts))


if __name__ == "__main__":
    main()
