"""One run of stage 1 without a notebook: trained, then measured on val as `train_pct.ipynb` measures.

python benchmarks/train_one.py RUN --data DATA [--recipe small] [--more '{crop: 64}'] [FIELD=VALUE ...]
"""

import argparse
from pathlib import Path

import yaml

from swsss import Recipe, train
from swsss.method.model import load_network
from swsss.photos.files import find_device
from swsss.photos.folder import VOCFolder, read_split
from swsss.runs.quality import evaluate_once
from swsss.runs.run_folder import networks_of

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=Path)
parser.add_argument("--data", required=True)
parser.add_argument("--recipe", default="small")
parser.add_argument("--more", default="{}", help="fields of the recipe, as YAML")
parser.add_argument("field", nargs="*", help="FIELD=VALUE of the recipe")
asked = parser.parse_intermixed_args()

changes = {name: yaml.safe_load(value) for name, value in (field.split("=", 1) for field in asked.field)}
recipe = Recipe.named(asked.recipe, **{"snapshots": 0, **yaml.safe_load(asked.more), **changes})
folder, device = VOCFolder(asked.data), find_device()
strong = read_split(folder, recipe.split)
folder.check(strong=strong, progress=False)
train(recipe, folder.with_labels(None, keep=strong), strong, asked.run, device)
network = load_network(networks_of(asked.run)["hybrid"], device=device)
for with_tags in (True, False):
    how = {"scales": (1.0,), "flip": True}
    entry = evaluate_once(asked.run / "evaluation.json", "HybridNet", network, folder, with_tags, **how)
    print(f"{asked.run.name} {'with' if with_tags else 'without'} tags: mIoU {100 * entry['miou']:.1f}")
