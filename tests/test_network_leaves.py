"""A trained network leaves as one file: the labels of `net.labels(photo, tags, refine=False)`, without swsss.

The program that runs the file is the one in the documentation, in a process where swsss cannot be imported.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_notebook_command import ROOT

import swsss
from swsss.method.model import DeepLabV3Plus, save_checkpoint, segmentation_network
from swsss.method.recipe import Recipe
from swsss.photos.demo import draw_demo

onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'swsss[onnx]'")
pytest.importorskip("onnx", reason="pip install 'swsss[onnx]'")

SIZES = [(96, 120), (251, 133), (40, 300), (1, 9)]
CLASSES = ["background", "hair", "a coat & <tie>", "東京", "shoe"]
AGREE = 0.999  # of the pixels


def patches(size, seed=0):
    "A photo of soft patches, (H, W, 3) uint8."
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))


def made_up(path, backbone, **config):
    "A network that never learned, as decided as one that did."
    torch.manual_seed(0)
    network = segmentation_network(len(CLASSES), backbone, "none", channels=16, **config)
    with torch.no_grad():
        network.classifier.weight *= 100
        seen = torch.from_numpy(patches((96, 120)).copy()).permute(2, 0, 1)[None] / 64 - 2
        network.classifier.bias -= network.eval()(seen).mean((0, 2, 3))  # so that every class has a chance
    if config.get("classifier_weight"):
        network.tag_classifier.what.weight.data *= 10
    save_checkpoint(network, path, classes=CLASSES)
    return swsss.load(path, "cpu")


def same_labels(net, session, size, tags):
    "The part of a photo's pixels that get the same label from the file and from the network."
    photo, names = patches(size), json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    given = np.zeros(len(names), bool)
    if tags is not None:
        given[[0, *map(names.index, tags)]] = True
    labels, probabilities = session.run(None, {"photo": photo, "tags": given})
    assert (labels.dtype, labels.shape, names) == (np.uint8, size, net.classes)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    if tags is not None:
        assert not probabilities[~given].any()
    return np.mean(labels == net.labels(photo, tags, refine=False))


@pytest.mark.parametrize(
    ("backbone", "config"),
    [
        ("tf_efficientnet_lite0", {"longest_side": 172, "classifier_weight": 0.5, "refine": True}),
        ("resnet18", {"output_stride": 16}),
        ("test_resnet", {"longest_side": 600, "classifier_weight": 1.0}),
    ],
)
def test_onnx_gives_the_labels_of_the_network(tmp_path, backbone, config):
    "At any size, with tags, without, and with none of the classes."
    net = made_up(tmp_path / "net.safetensors", backbone, **config)
    before = {name: value.clone() for name, value in net.network.state_dict().items()}
    session = onnxruntime.InferenceSession(net.export(tmp_path / "net.onnx"))
    for size in SIZES:
        for tags in (None, [], CLASSES[2:4]):
            assert same_labels(net, session, size, tags) >= AGREE, (size, tags)
    assert len(np.unique(net.labels(patches(SIZES[0]), refine=False))) > 2
    about = session.get_modelmeta().custom_metadata_map
    assert about["swsss"] == swsss.__version__ and "refinement" in about["outside"]
    assert all(torch.equal(before[name], value) for name, value in net.network.state_dict().items())


def test_the_prior_of_the_tag_classifier_is_in_the_graph(tmp_path):
    "Without tags it decides; with all of them given it does not."
    net = made_up(tmp_path / "net.safetensors", "test_resnet", longest_side=64, classifier_weight=1.0)
    net.network.tag_classifier.what.bias.data[:] = torch.tensor([9.0, -900, 900, -900, -900])
    session = onnxruntime.InferenceSession(net.export(tmp_path / "net.onnx"))
    photo = patches((64, 64))
    unknown, all_given = (
        session.run(["labels"], {"photo": photo, "tags": np.full(len(CLASSES), given)})[0] for given in (False, True)
    )
    assert (unknown != all_given).any()
    assert np.mean(unknown == net.labels(photo, refine=False)) >= AGREE
    assert np.mean(all_given == net.labels(photo, CLASSES, refine=False)) >= AGREE


@pytest.mark.parametrize("method", ["self_training", "pct"])
def test_what_a_run_trained_leaves(tmp_path, method):
    folder = swsss.VOCFolder(draw_demo(tmp_path / "demo", strong=4, weak=4, val=2))
    recipe = Recipe.demo(method=method, channels=16, num_strong=2, num_weak=2, iterations=6, workers=0)
    recipe = recipe.change(log_every=3, snapshots=0, backbone="test_resnet", weights="none", crop=32)
    swsss.train(recipe, folder, folder.listed("train"), tmp_path / "run", "cpu")
    net = swsss.load(tmp_path / "run", "cpu")
    session = onnxruntime.InferenceSession(net.export(tmp_path / "run/net.onnx"))
    assert all(
        same_labels(net, session, size, tags) >= AGREE for size in SIZES for tags in (None, [], net.classes[1:3])
    )


def test_networks_of_old_runs_leave(tmp_path):
    with tarfile.open(Path(__file__).parent / "old_runs.tar.xz") as archive:
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    for name in ("hybrid", "pseudo"):
        net = swsss.load(tmp_path / f"runs/finished/{name}.safetensors", "cpu")
        session = onnxruntime.InferenceSession(net.export(tmp_path / f"{name}.onnx"))
        assert all(same_labels(net, session, size, tags) >= AGREE for size in SIZES[:3] for tags in (None, []))


def test_the_documented_program_runs_it_without_swsss(tmp_path):
    net = made_up(tmp_path / "net.safetensors", "test_resnet", longest_side=64)
    net.export(tmp_path / "net.onnx")
    cells = json.loads((ROOT / "nbs/method/18_network_file.ipynb").read_text(encoding="utf-8"))["cells"]
    (code,) = re.findall(r"```python\n(.*?onnxruntime.*?)```", "\n".join("".join(c["source"]) for c in cells), re.S)
    (tmp_path / "outside/swsss").mkdir(parents=True)
    (tmp_path / "outside/swsss/__init__.py").write_text("raise ImportError('not here')", encoding="utf-8")
    (tmp_path / "outside/program.py").write_text(code, encoding="utf-8")
    exif = Image.Exif()
    exif[0x0112] = 6  # as a phone held upright stores it
    Image.fromarray(patches((80, 110))).save(tmp_path / "photo.png", exif=exif)
    for tags in (None, [], CLASSES[1:3]):
        names = [] if tags is None else ["background", *tags]
        command = [sys.executable, "program.py", str(tmp_path / "net.onnx"), str(tmp_path / "photo.png"), *names]
        done = subprocess.run(
            command, cwd=tmp_path / "outside", env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        labels = np.asarray(Image.open(tmp_path / "outside/labels.png"))
        assert np.mean(labels == net.labels(tmp_path / "photo.png", tags, refine=False)) >= AGREE


def test_torch_export_gives_the_labels_of_the_network(tmp_path):
    net = made_up(tmp_path / "net.safetensors", "tf_efficientnet_lite0", longest_side=96, classifier_weight=0.5)
    path, files = net.export(tmp_path / "net.pt2", size=(150, 200)), {"swsss.json": ""}
    program = torch.export.load(path, extra_files=files).module()
    assert json.loads(json.loads(files["swsss.json"])["classes"]) == CLASSES
    photo = patches((150, 200)).copy()
    for tags in (None, [], CLASSES[1:3]):
        given = torch.tensor([tags is not None, *(name in (tags or ()) for name in CLASSES[1:])])
        labels = program(torch.from_numpy(photo), given)[0].numpy()
        assert np.mean(labels == net.labels(photo, tags, refine=False)) >= AGREE


def test_a_plain_transformer_leaves_for_photos_of_one_size(tmp_path):
    net = made_up(tmp_path / "net.safetensors", "test_vit", longest_side=96)
    with pytest.raises(ValueError, match=r"test_vit resamples .* which ONNX cannot: export NAME\.pt2"):
        net.export(tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
    photo = patches((60, 90)).copy()
    program = torch.export.load(net.export(tmp_path / "net.pt2", size=(60, 90))).module()
    labels = program(torch.from_numpy(photo), torch.zeros(len(CLASSES), dtype=bool))[0].numpy()
    assert np.mean(labels == net.labels(photo, refine=False)) >= AGREE


def test_a_backbone_that_a_trace_does_not_hold_is_refused(tmp_path, monkeypatch):
    "Nothing is left behind, and what was there stays."
    net = made_up(tmp_path / "net.safetensors", "test_resnet")
    forward = DeepLabV3Plus.forward

    def with_a_size_of_python(self, images):
        logits = forward(self, images)
        return logits + (int(images.shape[-1]) > 150) * 1e4 * torch.eye(len(CLASSES))[1][:, None, None]

    monkeypatch.setattr(DeepLabV3Plus, "forward", with_a_size_of_python)
    (tmp_path / "net.onnx").write_text("before")
    with pytest.raises(ValueError, match=r"test_resnet gives other labels than here on .* export \.pt2 instead"):
        net.export(tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "net.safetensors"]
