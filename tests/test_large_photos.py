"""Large photos: trained at a working size that the network remembers, labelled at their own size in bounded memory."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from peak_memory import IMPORT_PEAK_MEMORY

import swsss
from swsss.method.augment import normalise, reduced
from swsss.method.model import load_network, resize
from swsss.method.predict import evaluate_network, predict_labels, predict_photo
from swsss.method.recipe import Recipe
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels
from swsss.runs.label_folder import write_pseudo_labels
from swsss.runs.run_folder import networks_of


def test_a_working_size_is_remembered_wherever_the_network_is_used(demo, tmp_path):
    torch.set_num_threads(1)
    folder, run = VOCFolder(demo), tmp_path / "run"
    recipe = Recipe.demo(longest_side=40, crop=32, channels=8, num_strong=2, num_weak=2, iterations=2, snapshots=1)
    swsss.train(recipe.change(workers=0), folder, folder.listed("train"), run, "cpu")
    (snapshot,) = run.glob("snapshots/000002/*.png")
    network, name = load_network(networks_of(run)["hybrid"], device="cpu"), snapshot.stem
    photo, tags, once = folder.image(name), folder.tags(name), {"scales": (1.0,), "flip": False}
    assert network.longest_side == 40 and photo.shape == (64, 64, 3)
    assert np.array_equal(read_labels(snapshot), predict_labels(network, reduced(photo, 40), tags, **once)[0])

    small = normalise(reduced(photo, 40), network.mean, network.std)[None]
    with torch.inference_mode():
        logits = resize(network(small), (64, 64))
    allowed = torch.from_numpy(tags)[:, None, None]
    expected = logits[0].masked_fill(~allowed, -torch.inf).softmax(0).numpy()
    shown = [folder.classes[k] for k in np.flatnonzero(tags)]
    for found in (
        predict_photo(network, photo, tags, **once).numpy(),
        swsss.load(run, "cpu").predict(photo, shown, **once),
    ):
        assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-5)
    labels, confidence = predict_labels(network, photo, tags, **once)
    assert np.array_equal(labels, found.argmax(0)) and confidence == pytest.approx(found.max(0).mean())
    scores = write_pseudo_labels(tmp_path / "labels", folder, [name], network, {}, progress=False, **once)
    assert np.array_equal(read_labels(tmp_path / "labels" / f"{name}.png"), labels)
    assert scores["confidence"].item() == pytest.approx(confidence)
    strong = folder.listed("train")[:2]
    confusion = evaluate_network(network, folder, strong, progress=False, **once)
    assert confusion.sum() == sum((folder.labels(name) != 255).sum() for name in strong)

    network.longest_side = 0  # that it is remembered makes a difference
    assert not np.allclose(predict_photo(network, photo, tags, **once), expected, atol=1e-3)


def test_a_run_folder_of_a_time_before_the_field_goes_on(demo, tmp_path):
    torch.set_num_threads(1)
    folder, run = VOCFolder(demo), tmp_path / "run"
    recipe = Recipe.demo(crop=32, channels=8, num_strong=2, num_weak=2, iterations=1, snapshots=0, workers=0)
    swsss.train(recipe, folder, folder.listed("train"), run, "cpu")
    kept = json.loads((run / "recipe.json").read_text())
    del kept["recipe"]["longest_side"]
    (run / "recipe.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"longest_side \(0 there, 40 here\)"):
        swsss.train(recipe.change(longest_side=40), folder, folder.listed("train"), run, "cpu")
    swsss.train(recipe, folder, folder.listed("train"), run, "cpu")


LABEL_24_MEGAPIXELS = f"""
{IMPORT_PEAK_MEMORY}import numpy as np, torch
from swsss.method.model import DeepLabV3Plus
from swsss.method.predict import predict_labels
torch.set_num_threads(1)
torch.manual_seed(0)
longest_side, num_classes = map(int, sys.argv[1:])
network = DeepLabV3Plus(num_classes, "test_resnet", "none", 16, channels=8, longest_side=longest_side).eval()
row = np.linspace(0, 255, 6000, dtype=np.uint8)
photo = np.ascontiguousarray(np.broadcast_to(row[None, :, None], (4000, 6000, 3)))
labels, confidence = predict_labels(network, photo, scales=(1.0,), flip=False)
assert labels.shape == (4000, 6000) and labels.max() < num_classes and 0 < confidence <= 1
print(peak_memory() / 2**30)
"""


@pytest.mark.parametrize(("longest_side", "num_classes"), [(0, 8), (2000, 21)])
def test_24_megapixels_stay_under_2_gigabytes(longest_side, num_classes):
    "Interpreter, PyTorch and photo included. A map of 21 classes would be 2 GB by itself."
    command = [sys.executable, "-c", LABEL_24_MEGAPIXELS, str(longest_side), str(num_classes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) < 2, f"{done.stdout} GB"
    print(f"longest_side {longest_side}: {float(done.stdout):.2f} GB resident")
