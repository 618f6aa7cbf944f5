"Only a photo's own classes go through the last layer, refinement and enlarging: labels stay the same."

from pathlib import Path

import numpy as np
import pytest
import torch

from swsss.method.augment import normalise, reduced
from swsss.method.model import DeepLabV3Plus, resize
from swsss.method.predict import predict_labels, predict_photo
from swsss.method.refine import colour_logits, fit_colour_model, guided_coefficients, guided_probabilities
from swsss.method.self_training import class_prior_bias, write_round_labels
from swsss.photos.folder import VOCFolder

ONCE = {"scales": (1.0,), "flip": False}


def network_of(num_classes, **how):
    "A network whose classes differ from pixel to pixel."
    torch.manual_seed(0)
    network = DeepLabV3Plus(num_classes, "test_resnet", "none", channels=8, longest_side=80, **how).eval()
    network.classifier.weight.data *= 20
    with torch.inference_mode():
        seen = network(normalise(photo_of(80, 60), network.mean, network.std)[None])
    network.classifier.bias.data -= seen.mean((0, 2, 3)).clone()
    return network


def photo_of(height, width):
    "Soft patches of colour."
    patches = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(1))
    return (255 * resize(patches, (height, width)))[0].permute(1, 2, 0).to(torch.uint8).numpy()


def with_all_classes(network, photo, tags):
    "Probabilities as they were made before: all classes, those off the tags at -inf."
    small = reduced(photo, network.longest_side)
    with torch.inference_mode():
        logits = network(normalise(small, network.mean, network.std)[None])[0]
        if not network.refine:
            logits = resize(logits[None], photo.shape[:2])[0]
        logits = logits.masked_fill(~torch.from_numpy(tags)[:, None, None], -torch.inf)
        if not network.refine:
            return logits.softmax(0)
        known = (logits + colour_logits(fit_colour_model(logits, small), small)).softmax(0)
        coefficients = guided_coefficients(known, small, max(small.shape))
        return guided_probabilities(resize(coefficients[None], photo.shape[:2])[0], photo)


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize("num_classes", [12, 150])
@pytest.mark.parametrize("shown", [(0, 2, 5, 11), (2, 5), range(12)])  # the second: background is ruled out
def test_labels_are_those_of_all_classes(num_classes, shown, refine):
    torch.set_num_threads(1)
    network, photo = network_of(num_classes, refine=refine), photo_of(300, 220)
    tags = np.isin(np.arange(num_classes), shown)
    expected = with_all_classes(network, photo, tags)
    labels, confidence = predict_labels(network, photo, tags, **ONCE)
    assert (labels == expected.argmax(0).numpy()).mean() > 0.9999
    assert confidence == pytest.approx(expected.amax(0).mean().item(), abs=1e-4)
    assert len(np.unique(labels)) > 1
    found = predict_photo(network, photo, tags, **ONCE)
    assert found.shape == expected.shape and (found - expected).abs().max() < 1e-3
    assert not found[~torch.from_numpy(tags)].any()


@pytest.mark.parametrize("refine", [False, True])
def test_a_few_classes_at_a_time_are_all_classes(refine, monkeypatch):
    torch.set_num_threads(1)
    network, photo = network_of(9, refine=refine), photo_of(150, 110)
    whole = predict_labels(network, photo, **ONCE)
    monkeypatch.setattr("swsss.method.predict.CHUNK_LOGITS", 150 * 110)
    few = predict_labels(network, photo, **ONCE)
    assert np.array_equal(whole[0], few[0]) and whole[1] == pytest.approx(few[1], abs=1e-6)
    expected = with_all_classes(network, photo, np.ones(9, bool))
    assert (few[0] == expected.argmax(0).numpy()).mean() > 0.9999


def test_tags_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected \(1, 9\)"):
        predict_labels(network_of(9), photo_of(80, 60), np.ones(8, bool), **ONCE)


def test_labels_of_a_round_are_the_same_bytes_however_often_it_was_stopped(demo, tmp_path):
    "Also where the logits of the class-area prior are used again."
    torch.set_num_threads(1)
    folder = VOCFolder(demo)
    network, strong = network_of(folder.num_classes, refine=True), folder.listed("train")[:5]
    weak = sorted(set(folder.listed("trainaug")) - set(strong))

    def label(path):
        seen = {}
        bias = class_prior_bias(network, folder, strong, weak, 5, seen)
        assert len(seen) == len(weak[:: len(weak) // 5])
        write_round_labels(path, network, folder, weak, bias, seen=seen)
        return {name: Path(path, f"{name}.png").read_bytes() for name in weak}

    whole = label(tmp_path)
    assert len(set(whole.values())) == len(weak) > 12
    for k in range(0, len(weak), 6):
        for name in weak[k : k + 6 : 2]:
            Path(tmp_path, f"{name}.png").unlink()
        assert label(tmp_path) == whole
