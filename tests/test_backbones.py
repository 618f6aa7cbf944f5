"""Backbones other than ResNets: a plain transformer goes through both stages, from a file of random weights, resumes to
the same bytes, labels photos of any size and comes back from its checkpoint; what is frozen stays as it was."""

import signal

import numpy as np
import pytest
import timm
import torch
from run_folder import QUICK, checkpoints
from run_folder import results as results_of
from safetensors.torch import load_file, save_file

import swsss
from swsss.method.model import build_backbone, load_network, save_checkpoint, segmentation_network
from swsss.method.recipe import Recipe, retrain_recipe
from swsss.method.weights import backbone_weights
from swsss.photos.folder import VOCFolder
from swsss.runs import training as train_room
from swsss.runs.features import photo_features
from swsss.runs.label_folder import write_pseudo_labels

VIT = {"backbone": "test_vit", "output_stride": 16, "channels": 16, "crop": 32, "workers": 0}
SELF_TRAINING = {"method": "self_training", "classifier_weight": 1.0, "classifier_part": 0.25, "rounds": 1}
SELF_TRAINING |= {"round_part": 0.4, "round_strong": 1, "round_weak": 2, "passes_before_rounds": 0}


@pytest.fixture(autouse=True)
def one_thread():
    "On a busy machine more are slower."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    "A file of random numbers, as timm's hub would have one of trained ones."
    path = tmp_path_factory.mktemp("weights") / "test_vit.safetensors"
    torch.manual_seed(3)
    save_file(timm.create_model("test_vit").state_dict(), path)
    return str(path)


def train(recipe, folder, run, **where):
    train_room.train(recipe, folder, folder.listed("train"), run, "cpu", **where)


def stop_in_step(number, monkeypatch):
    "A scheduler's signal in the middle of a step."
    losses_of, steps = train_room.step_losses, []

    def step_losses(*args):
        steps.append(1)
        if len(steps) == number:
            signal.raise_signal(signal.SIGTERM)
        return losses_of(*args)

    monkeypatch.setattr(train_room, "step_losses", step_losses)


@pytest.fixture(scope="module")
def trained(demo, weights, tmp_path_factory):
    "A run of self-training on a frozen transformer, never stopped."
    recipe = QUICK.change(**VIT, **SELF_TRAINING, weights=weights, freeze="all")
    run = tmp_path_factory.mktemp("runs") / "vit"
    train(recipe, VOCFolder(demo), run)
    return recipe, run


@pytest.mark.parametrize("step", [2, 5, 10], ids=["classifier", "supervised", "round"])
def test_a_frozen_transformer_resumes_to_the_same_bytes(demo, trained, tmp_path, monkeypatch, step):
    recipe, whole = trained
    with monkeypatch.context() as patched:
        stop_in_step(step, patched)
        with pytest.raises(KeyboardInterrupt, match=f"after iteration {step}"):
            train(recipe, VOCFolder(demo), tmp_path / "run")
    assert checkpoints(tmp_path / "run")
    train(recipe, VOCFolder(demo), tmp_path / "run")
    assert results_of(tmp_path / "run") == results_of(whole)


def test_what_is_frozen_is_the_file_and_the_rest_has_learned(trained, weights):
    recipe, run = trained
    torch.manual_seed(recipe.seed)
    begun = train_room.networks_to_train(recipe, 11)["hybrid"].state_dict()
    state, file = load_file(run / "hybrid.safetensors"), load_file(weights)
    for prefix in ("backbone.network.model.", "tag_classifier.backbone.network.model."):
        kept = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        assert kept and all(torch.equal(value, file[key]) for key, value in kept.items())
    for part in ("fusions.0.out.weight", "classifier.weight", "tag_classifier.what.weight"):
        assert not torch.equal(state[part], begun[part]), part


def test_the_optimizer_keeps_nothing_of_what_is_frozen(trained):
    recipe, _ = trained
    networks = train_room.networks_to_train(recipe, 11)
    optimizer, _ = train_room.build_optimizer(networks, recipe.optimizer)
    held = {id(value) for group in optimizer.param_groups for value in group["params"]}
    frozen = [*networks["hybrid"].backbone.parameters(), *networks["hybrid"].tag_classifier.backbone.parameters()]
    assert held and not held & {id(value) for value in frozen}
    learns = [value for value in networks.parameters() if value.requires_grad]
    assert held == {id(value) for value in learns}


@pytest.mark.parametrize("size", [(37, 61), (64, 64), (15, 200)])
def test_photos_of_any_size_are_labelled(trained, size):
    network = swsss.load(trained[1], "cpu")
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert network.labels(photo).shape == size
    probabilities = network.predict(photo, tags=[network.classes[3]])
    assert probabilities.shape == (len(network.classes), *size)
    assert np.allclose(np.asarray(probabilities).sum(0), 1, atol=1e-4)


def test_stage_2_and_the_features_of_photos(demo, trained, tmp_path):
    recipe, run = trained
    folder = VOCFolder(demo)
    network, names = load_network(run / "hybrid.safetensors", device="cpu"), folder.listed("trainaug")
    plain = {"scales": (1.0,), "flip": False, "progress": False}
    write_pseudo_labels(tmp_path / "labels", folder, names, network, {"run": "vit"}, **plain)
    second = retrain_recipe(recipe, "modern", str(run), iterations=2, num_strong=2)
    assert second.network.freeze == "all" and second.self_training.classifier == str(run)
    view = folder.with_labels(tmp_path / "labels", keep=folder.listed("train"))
    train(second, view, tmp_path / "second", origin={"labels": str(tmp_path / "labels")})
    network = load_network(tmp_path / "second/hybrid.safetensors", device="cpu")
    assert type(network).__name__ == "DPT" and network.about["iteration"] == 2
    features = photo_features(network, folder, folder.listed("val"))
    assert features.shape == (len(folder.listed("val")), 64)


def test_first_stages_of_a_resnet_stay_and_their_statistics_too(demo, tmp_path):
    folder, recipe = VOCFolder(demo), QUICK.change(method="ce", iterations=2, workers=0, freeze=2)
    torch.manual_seed(recipe.seed)
    begun = train_room.networks_to_train(recipe, folder.num_classes)["hybrid"].state_dict()
    train(recipe, folder, tmp_path / "run")
    state = load_network(tmp_path / "run/hybrid.safetensors", device="cpu").state_dict()
    moved = {key for key, value in state.items() if not torch.equal(value, begun[key])}
    still = [key for key in state if key.startswith(("backbone.conv1.", "backbone.bn1.", "backbone.layer1."))]
    assert any("running_mean" in key for key in still) and not moved & set(still)
    assert {"backbone.layer2.0.conv1.weight", "backbone.layer4.0.bn1.running_mean", "aspp.pixel.0.weight"} <= moved


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"freeze": 9}, "freeze=9: test_resnet has 5 stages: pass 0 to 5, or all"),
        ({"backbone": "pit_ti_224"}, "backbone=pit_ti_224 cannot be used (its maps do not cover a photo evenly); the"),
        ({"backbone": "vit_tiny_patch16_224", "weights": "imagenet"}, "fetched on another machine), weights=none"),
    ],
)
def test_a_backbone_that_will_not_do_is_one_sentence_and_another_takes_its_place(
    demo, tmp_path, monkeypatch, changes, said
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder, recipe = VOCFolder(demo), QUICK.change(method="ce", iterations=1, workers=0)
    with pytest.raises(ValueError) as refused:
        train(recipe.change(**changes), folder, tmp_path / "run")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    train(recipe, folder, tmp_path / "run")
    assert (tmp_path / "run/hybrid.safetensors").is_file()


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "hiera_tiny_224", "fastvit_t8", "mambaout_femto"])
def test_other_families_take_weights_learn_and_come_back(name, tmp_path):
    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "weights.safetensors")
    network = segmentation_network(3, name, tmp_path / "weights.safetensors", 16, 8)
    mine = [value for value in network.backbone.parameters() if value.ndim == 4]
    assert all(any(torch.equal(value, other) for other in state.values()) for value in mine[:3])
    network(torch.randn(2, 3, 40, 33)).mean().backward()
    assert all(value.grad is not None for value in network.parameters())
    save_checkpoint(network, tmp_path / "network.safetensors", classes=["background", "a", "b"])
    again = load_network(tmp_path / "network.safetensors", device="cpu")
    photo = torch.randn(1, 3, 40, 33)
    with torch.inference_mode():
        torch.testing.assert_close(again(photo), network.eval()(photo))  # its memory has another layout


def test_a_checkpoint_of_a_resnet_has_the_names_that_it_always_had():
    names = list(segmentation_network(3, "resnet18", "none", channels=8).state_dict())
    assert names[0] == "backbone.conv1.weight" and names[-1] == "classifier.bias"
    assert {name.split(".")[0] for name in names} == {"backbone", "aspp", "shortcut", "fuse", "classifier"}
    assert not any(name.startswith("network.") for name in build_backbone("resnet18", "none").state_dict())


@pytest.mark.parametrize("name", ["hf-hub:a/b", "local-dir:/tmp", "no_such_network"])
def test_a_checkpoint_that_claims_a_network_from_elsewhere_fetches_nothing(name, tmp_path, monkeypatch):
    network = segmentation_network(3, "test_resnet", "none", channels=8)
    network.config["backbone"] = name
    save_checkpoint(network, tmp_path / "network.safetensors")
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("timm was asked for it"))
    with pytest.raises(ValueError, match="damaged, or not a checkpoint of swsss"):
        load_network(tmp_path / "network.safetensors", device="cpu")


def test_modern_is_what_unimatch_v2_published():
    recipe = Recipe.modern()
    assert recipe.optimizer.lr == pytest.approx(40 * 5e-6) and recipe.optimizer.weight_decay == 0.01
    assert (recipe.network.freeze, recipe.batches.crop, recipe.batches.num_strong) == ("all", 518, 16)
    assert timm.is_model(recipe.network.backbone) and Recipe.named("modern") == recipe


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2_as_meta_publishes_it(registers, tmp_path):
    "Its names (register_tokens, mask_token, a position of the class token) become timm's, value for value."
    name = f"vit_small_patch14_{'reg4_' if registers else ''}dinov2"
    model = timm.create_model(name)
    state, generator = model.state_dict(), torch.Generator().manual_seed(0)
    published = dict(state) | {"mask_token": torch.zeros(1, 384)}
    if registers:
        position = torch.randn(1, 1, 384, generator=generator)
        published["register_tokens"] = published.pop("reg_token")
        published["pos_embed"] = torch.cat([position, state["pos_embed"]], 1)
        published["cls_token"] = state["cls_token"] - position
    torch.save(published, tmp_path / "dinov2_vits14_pretrain.pth")
    found = backbone_weights(name, tmp_path / "dinov2_vits14_pretrain.pth")
    assert found.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(found[key], value)
