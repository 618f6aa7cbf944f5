"Photos that threads read ahead, as they do beside a GPU, give the labels and numbers that reading in turn gives."

import threading

import numpy as np
import pandas as pd
import pytest
import torch

from swsss.method import predict, self_training
from swsss.method.model import DeepLabV3Plus, load_network, save_checkpoint
from swsss.photos.folder import VOCFolder
from swsss.runs import label_folder

MODULES = [predict, self_training, label_folder]
ONCE = {"scales": (1.0,), "flip": False}


@pytest.fixture(scope="module")
def network(demo, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    save_checkpoint(DeepLabV3Plus(VOCFolder(demo).num_classes, "test_resnet", weights="none", channels=8), path)
    return load_network(path, device="cpu")


@pytest.fixture
def ahead(monkeypatch):
    "Reading as beside a GPU; gives the threads that read."
    readers, before = set(), VOCFolder.image

    def image(folder, name):
        readers.add(threading.current_thread())
        return before(folder, name)

    def begin():
        monkeypatch.setattr(VOCFolder, "image", image)
        for module in MODULES:
            monkeypatch.setattr(module, "reading_threads", lambda device: 3)
        return readers

    return begin


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_the_same_labels_and_counts(demo, network, ahead, tmp_path):
    folder = VOCFolder(demo)
    weak, strong = folder.listed("trainaug")[::2], folder.listed("train")[:4]

    def everything(path):
        counts = predict.evaluate_network(network, folder, strong, progress=False, **ONCE)
        bias = self_training.class_prior_bias(network, folder, strong, weak)
        self_training.write_round_labels(path / "round", network, folder, weak, bias)
        about = {"network": "hybrid", "hybrid": network.about["digest"]}
        scores = label_folder.write_pseudo_labels(path / "labels", folder, weak, network, about, progress=False, **ONCE)
        return counts, files_of(path / "round"), files_of(path / "labels"), scores

    one_by_one = everything(tmp_path / "a")
    readers = ahead()
    threaded = everything(tmp_path / "b")
    assert len(readers) > 3 and threading.main_thread() not in readers
    np.testing.assert_array_equal(one_by_one[0], threaded[0])
    assert one_by_one[1:3] == threaded[1:3] and len(threaded[1]) == len(threaded[2]) == len(weak)
    pd.testing.assert_frame_equal(one_by_one[3], threaded[3])


def test_a_photo_that_cannot_be_read_is_left_out_and_named(demo, network, ahead, tmp_path, monkeypatch, capsys):
    folder = VOCFolder(demo)
    weak = folder.listed("trainaug")[:8]
    before = VOCFolder.image

    def image(folder, name):
        if name == weak[3]:
            raise ValueError(f"{name} is cut short")
        return before(folder, name)

    ahead()
    monkeypatch.setattr(VOCFolder, "image", image)
    about = {"network": "hybrid", "hybrid": network.about["digest"]}
    scores = label_folder.write_pseudo_labels(tmp_path / "labels", folder, weak, network, about, progress=False, **ONCE)
    assert sorted(scores["name"]) == sorted(set(weak) - {weak[3]})
    assert f"{weak[3]} is cut short" in capsys.readouterr().out
