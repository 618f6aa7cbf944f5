"""Files of weights from anywhere: what they claim is compared with what they hold before it is built, NaN is refused,
and no message says to run the code in them."""

import contextlib
import subprocess
import sys
import zipfile
from functools import partial

import pytest
import torch
from peak_memory import IMPORT_PEAK_MEMORY
from safetensors.torch import save_file

import swsss
from swsss.explorer.detail import Networks
from swsss.method.model import DeepLabV3Plus, load_network, save_checkpoint
from swsss.method.recipe import Recipe
from swsss.method.weights import backbone_weights, read_weights
from swsss.photos.demo import draw_demo
from swsss.photos.files import file_digest
from swsss.photos.folder import VOCFolder
from swsss.runs.features import cached_features
from swsss.runs.run_folder import Run
from swsss.runs.training import find_classifier


def network(**changes):
    torch.manual_seed(0)
    return DeepLabV3Plus(**{"num_classes": 11, "backbone": "test_resnet", "weights": None, "channels": 8} | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return VOCFolder(draw_demo(tmp_path_factory.mktemp("data") / "scenes", strong=2, weak=2, val=1))


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.json").write_text("{}", encoding="utf-8")
    return tmp_path / "run"


def doors(run, folder):
    "Whatever loads the network of a run."
    hybrid = run / "hybrid.safetensors"
    return [
        lambda: load_network(hybrid, device="cpu"),
        lambda: swsss.load(hybrid, "cpu"),
        lambda: swsss.load(run, "cpu"),
        lambda: Networks(run, folder)._model("HybridNet"),
        lambda: find_classifier(str(run), network(), folder),
        lambda: cached_features(run, hybrid, folder, folder.listed("val")),
    ]


def refused(act, *words):
    with pytest.raises(ValueError) as caught:
        act()
    said = str(caught.value)
    assert all(word in said for word in words) and "weights_only" not in said and "\n" not in said, said
    assert len(said) < 600


def claim(path, **config):
    "A checkpoint whose text claims another network than it holds."
    model = network()
    model.config |= config
    save_checkpoint(model, path)


CLAIMS = [{"channels": 2**13}, {"channels": 2**40}, {"num_classes": 2**20}, {"backbone": "test_vit"}, {"channels": -1}]
CLAIMS += [{"backbone": "resnet18"}, {"backbone": 7}, {"channels": 8.5}, {"output_stride": 16}, {"more": 1}]
CLAIMS += [{"classifier_weight": 1.0}, {"num_classes": None}]


@pytest.mark.parametrize("config", CLAIMS, ids=str)
def test_a_claim_is_compared_with_the_tensors(run, folder, config):
    claim(run / "hybrid.safetensors", **config)
    fits = config == {"output_stride": 16}  # a stride has no tensor: the same weights fit
    for act in doors(run, folder) if not fits else ():
        refused(act, str(run / "hybrid.safetensors"), "damaged, or not a checkpoint of swsss (")
    assert not fits or load_network(run / "hybrid.safetensors", device="cpu").config["output_stride"] == 16


def test_nothing_is_built_before_the_claim_is_compared(tmp_path):
    "A million channels would take 5 TB; 8,192 take 2 GB, which a machine has, so the peak of a process shows it."
    for channels, most in ((2**13, 200), (2**20, 200)):
        claim(tmp_path / "x.safetensors", channels=channels)
        ask = f"""
{IMPORT_PEAK_MEMORY}
from swsss.method.model import load_network
before = peak_memory()
try:
    load_network(r"{tmp_path}/x.safetensors", device="cpu")
except ValueError as error:
    assert "aspp.pixel.0.weight is (8, " in str(error), error
    grown = (peak_memory() - before) / 2**20
    assert grown < {most}, f"{{grown:.0f}} MB"
else:
    raise AssertionError("it was loaded")
"""
        done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[]", "{}", '{"model": []}', '{"model": {"num_classes": 11}, "classes": 3}']
)
def test_the_text_in_a_checkpoint_may_be_anything(run, text):
    save_file({"a": torch.ones(1)}, run / "hybrid.safetensors", metadata={"about": text})
    refused(lambda: load_network(run / "hybrid.safetensors", device="cpu"), "hybrid.safetensors: damaged, or not a")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(run, folder, value):
    model = network()
    with torch.no_grad():
        model.fuse[1][0].weight[3, 0] = value
    save_checkpoint(model, run / "hybrid.safetensors")
    for act in doors(run, folder):
        refused(act, str(run / "hybrid.safetensors"), "fuse.1.0.weight holds values that are not finite")


def test_published_files_and_weights_are_looked_at_too(tmp_path):
    state = network(num_classes=2).backbone.state_dict()
    first = next(key for key, value in state.items() if value.is_floating_point())
    state[first].view(-1)[0] = float("nan")
    torch.save(state, tmp_path / "x.pth")
    save_file(state, tmp_path / "x.safetensors")
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        refused(lambda path=path: read_weights(path), str(path), f"{first} holds values that are not finite")
        refused(lambda path=path: backbone_weights("test_resnet", path), str(path), "not finite")
    refused(lambda: load_network(tmp_path / "x.pth", device="cpu"), "x.pth", "not finite")


def repack(path, **how):
    "The same archive, with its parts packed."
    with zipfile.ZipFile(path) as archive:
        parts = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def hurt(path, what):
    "Write a file of weights that cannot be used."
    things = {
        "objects": contextlib.nullcontext(),
        "code": partial(print, "run"),
        "a whole network": network(),
        "expanded": torch.ones(1).expand(2**40),
        "sparse": torch.eye(3).to_sparse(),
        "nothing there": torch.ones(3, device="meta"),
        "packed": torch.zeros(2**22),
    }
    torch.save({"a": torch.ones(2), "b": things.get(what, 7)}, path)
    if what == "packed":
        repack(path)
        assert path.stat().st_size < 2**20
    elif what == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif what == "text":
        path.write_text("not weights")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "names":
        torch.save({1: torch.ones(2)}, path)


SAID = {
    "objects": "it holds Python objects, which would run code: where it was made, save model.state_dict() alone",
    "code": "it holds Python objects",
    "a whole network": "it holds Python objects",
    "expanded": "b is no plain tensor that the file holds as a whole",
    "sparse": "b is no plain tensor",
    "nothing there": "b is no plain tensor",
    "packed": "it is packed, and PyTorch packs nothing",
    "cut": "it may be damaged: take another copy",
    "text": "it may be damaged",
    "empty": "it may be damaged",
    "number": "holds no state dict",
    "names": "holds no state dict",
}


@pytest.mark.parametrize("what", SAID)
def test_a_file_that_cannot_be_used_is_refused_in_our_own_words(tmp_path, what):
    path = tmp_path / "theirs.pth"
    hurt(path, what)
    for act in (read_weights, partial(backbone_weights, "test_resnet"), partial(load_network, device="cpu")):
        refused(partial(act, path), "theirs.pth", SAID[what])


def test_so_is_a_checkpoint_to_go_on_from(tmp_path, folder):
    recipe = Recipe.demo(channels=8, iterations=2, workers=0)
    run = Run(tmp_path / "run", recipe, folder)
    torch.save({"networks": contextlib.nullcontext()}, tmp_path / "x.pt")
    path = run.resume / f"0000001-{file_digest(tmp_path / 'x.pt')}.pt"
    (tmp_path / "x.pt").rename(path)
    with run:
        refused(run.restore, str(path), "it holds Python objects")


def test_sound_files_open(tmp_path, folder):
    state = network(num_classes=2).backbone.state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "x.pth")
    save_file(state, tmp_path / "x.safetensors")
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        read = read_weights(path)
        assert read.keys() == state.keys() and all(torch.equal(read[key], state[key]) for key in state)
    for config in ({}, {"classifier_weight": 0.5}, {"backbone": "resnet18", "channels": 16}):
        model = network(**config)
        save_checkpoint(model, tmp_path / "ours.safetensors", classes=folder.classes)
        again = load_network(tmp_path / "ours.safetensors", device="cpu").state_dict()
        assert all(torch.equal(value, again[key]) for key, value in model.state_dict().items())


def test_a_published_file_of_other_classes_says_which(tmp_path):
    model = DeepLabV3Plus(4, "resnet50s", None)
    torch.save(model.state_dict(), tmp_path / "voc.pth")  # our names pass through
    assert load_network(tmp_path / "voc.pth", 4, "cpu").num_classes == 4
    words = (
        "not a published checkpoint with 3 classes: classifier.weight is (4, 256, 1, 1), and should be (3, 256, 1, 1)"
    )
    refused(lambda: load_network(tmp_path / "voc.pth", 3, "cpu"), "voc.pth", words)
