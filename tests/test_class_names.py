"""Networks, run folders and label folders know the names of their classes: where one of them meets photos whose
classes.txt has others, or the same in another order, nothing is begun and one sentence says what differs."""

import csv
import shutil
from pathlib import Path

import pytest
import torch
from run_notebook_command import run_notebook_command

import swsss
from swsss.explorer.detail import Networks
from swsss.explorer.results import draw_results, find_results
from swsss.method.model import DeepLabV3Plus, class_names, load_network, save_checkpoint
from swsss.method.predict import evaluate_network
from swsss.method.recipe import Recipe
from swsss.photos.demo import draw_demo
from swsss.photos.files import read_json, write_json
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels
from swsss.runs.export import export_labels
from swsss.runs.label_folder import import_labels, stage2_folder, verified_labels, write_corrected, write_pseudo_labels
from swsss.runs.training import find_classifier

QUICK = Recipe.demo(channels=8, crop=32, num_strong=2, num_weak=2, iterations=2, save_every=1, workers=0, snapshots=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    "A folder, and a made-up run with labels; not to be changed."
    home = tmp_path_factory.mktemp("made")
    folder = VOCFolder(draw_demo(home / "scenes", strong=4, weak=6, val=2))
    drawn = draw_results(home / "runs/mine", folder, folder.listed("trainaug"), strong=2, steps=3)
    write_json(drawn.run / "recipe.json", {"recipe": Recipe.demo(split=2).flat(), "data": folder.fingerprint()})
    write_corrected(drawn.labels, [(name, folder.labels(name)) for name in folder.listed("trainaug")[5:7]])
    return drawn


def swapped(root):
    "Two lines of classes.txt change places."
    path = Path(root) / "classes.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[1], lines[2] = lines[2], lines[1]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def appended(root):
    with open(Path(root) / "classes.txt", "a", encoding="utf-8") as file:
        file.write("dragon\n")


CHANGES = {swapped: "line 2 is dotted disc, and was striped disc", appended: "has dragon. Restore"}


@pytest.fixture(params=CHANGES, ids=lambda change: change.__name__)
def changed(request, made, tmp_path):
    "The run and its labels beside the folder whose classes have changed since, and what is said of it."
    home = tmp_path / "home"
    shutil.copytree(made.run.parent.parent, home)
    request.param(home / "scenes")
    write_json(home / "runs/mine/run.json", {"data": str(home / "scenes")})
    return home, CHANGES[request.param]


def refusal(act, place, home, words):
    "What `act` says; it must name both files and what differs."
    with pytest.raises(ValueError) as caught:
        act()
    said = str(caught.value)
    assert f"{place} was made for other classes than {home}/scenes/classes.txt has now: " in said and words in said, (
        said
    )
    assert "\n" not in said and len(said) < 1000
    return said


def files_in(folder):
    return {path: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def doors(home):
    "Whatever brings a network, a run or labels together with photos: what is called, and which place it must name."
    run, folder = home / "runs/mine", VOCFolder(home / "scenes")
    hybrid, labels = run / "hybrid.safetensors", run / "labels"
    network, weak = load_network(hybrid, device="cpu"), DeepLabV3Plus(folder.num_classes, "resnet18", None)
    names, strong = folder.listed("trainaug"), folder.listed("train")[:2]
    plain = {"scales": (1.0,), "flip": False, "progress": False}
    return {
        "evaluate": (lambda: evaluate_network(network, folder, folder.listed("val"), **plain), hybrid),
        "label": (lambda: write_pseudo_labels(home / "new", folder, names, network, {}, **plain), hybrid),
        "agree": (lambda: write_pseudo_labels(home / "new", folder, names, weak, {}, network, **plain), hybrid),
        "go on labelling": (lambda: write_pseudo_labels(labels, folder, names, weak, {}, **plain), labels),
        "stage 2": (lambda: stage2_folder(folder, labels, strong), labels),
        "labels as masks": (lambda: verified_labels(labels, folder, strong), labels),
        "import": (lambda: import_labels(folder.mask_dir, labels, folder), labels),
        "export": (lambda: export_labels(labels, folder, home / "out.zip", "voc"), labels),
        "explorer": (lambda: find_results(run), labels),
        "explorer of labels": (lambda: find_results(labels=labels, data=folder.root), labels),
        "networks of the explorer": (lambda: Networks(run, folder)._model("HybridNet"), hybrid),
        "tag classifier": (lambda: find_classifier(str(run), weak, folder), hybrid),
        "training": (
            lambda: swsss.train(Recipe.paper(**read_json(run / "recipe.json")["recipe"]), folder, strong, run),
            run,
        ),
    }


DOORS = ["evaluate", "label", "agree", "go on labelling", "stage 2", "labels as masks", "import", "export", "explorer"]
DOORS += ["explorer of labels", "networks of the explorer", "tag classifier", "training"]


def test_all_doors_are_tried(made):
    assert list(doors(made.run.parent.parent)) == DOORS


@pytest.mark.parametrize("door", DOORS)
def test_no_door_takes_other_classes(changed, door):
    home, words = changed
    act, place = doors(home)[door]
    before = files_in(home)
    refusal(act, place, home, words)
    assert {path: data for path, data in files_in(home).items() if path.name != ".lock"} == before


NOTEBOOKS = {"evaluate": {}, "make_labels": {"labels": "new"}, "retrain": {}, "replay": {"after": "2"}, "train_pct": {}}


@pytest.mark.parametrize("verb", NOTEBOOKS)
def test_no_notebook_begins_with_other_classes(made, tmp_path, verb):
    home = tmp_path / "home"
    shutil.copytree(made.run.parent.parent, home)
    swapped(home / "scenes")
    parameters = {"runs": str(home / "runs"), "data": str(home / "scenes"), **NOTEBOOKS[verb]}
    parameters |= {"name": "mine", "recipe": "demo", "split": 2} if verb == "train_pct" else {"run": "mine"}
    if "labels" in parameters:
        parameters["labels"] = str(home / "new")
    done, said = run_notebook_command(verb, tmp_path / "out.ipynb", **parameters)
    assert not done and "was made for other classes than" in said, said
    assert "line 2 is dotted disc, and was striped disc" in said and not (home / "new").exists()


def test_who_puts_the_lines_back_goes_on(changed):
    "The remedy in the sentence: the names as they were, one a line."
    home, words = changed
    act, place = doors(home)["stage 2"]
    said = refusal(act, place, home, words)
    names = said.split("Restore classes.txt (")[1].split(")")[0].split(", ")
    (home / "scenes/classes.txt").write_text("\n".join(names), encoding="utf-8")
    folder = VOCFolder(home / "scenes")
    assert len(stage2_folder(folder, place, folder.listed("train")[:2])[1]) == 10


def test_a_run_that_goes_on_knows_its_classes(tmp_path):
    root = draw_demo(tmp_path / "scenes", strong=3, weak=3, val=1)
    folder, run = VOCFolder(root), tmp_path / "run"
    swsss.train(QUICK, folder, folder.listed("train"), run, "cpu")
    assert read_json(run / "recipe.json")["classes"] == list(folder.classes)
    swapped(root)
    again = VOCFolder(root)
    with pytest.raises(
        ValueError, match=f"{run} was made for other classes than {root}/classes.txt has now: line 2 is"
    ):
        swsss.train(QUICK, again, again.listed("train"), run, "cpu")


def test_a_run_of_an_older_version_says_its_classes_in_its_metrics(made, tmp_path):
    run, folder = shutil.copytree(made.run, tmp_path / "run"), made.folder
    for file in run.glob("*.safetensors"):
        file.unlink()
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        assert [c for c in next(csv.reader(file)) if c.startswith("iou:")] == [f"iou:{c}" for c in folder.classes]
    root = shutil.copytree(folder.root, tmp_path / "scenes")
    swapped(root)
    with pytest.raises(ValueError, match="was made for other classes"):
        find_results(run, data=str(root))


def test_imported_labels_keep_the_names_they_were_made_for(made, tmp_path):
    root = shutil.copytree(made.folder.root, tmp_path / "scenes")
    folder = VOCFolder(root)
    import_labels(folder.mask_dir, tmp_path / "labels", folder)
    swapped(root)
    with pytest.raises(ValueError, match=r"labels was made for other classes than .*classes.txt has now: line 2"):
        stage2_folder(VOCFolder(root), tmp_path / "labels", folder.listed("train"))


def test_networks_without_names_still_open(made, tmp_path):
    folder, path = made.folder, tmp_path / "bare.safetensors"
    torch.manual_seed(0)
    save_checkpoint(DeepLabV3Plus(folder.num_classes, "test_resnet", None, channels=8), path)
    network = load_network(path, device="cpu")
    settings = {"scales": (1.0,), "flip": False, "progress": False}
    assert evaluate_network(network, folder, folder.listed("val"), **settings).sum() > 0
    name = folder.listed("trainaug")[:1]
    write_pseudo_labels(tmp_path / "labels", folder, name, network, {}, **settings)
    assert read_labels(tmp_path / f"labels/{name[0]}.png").shape == folder.image(name[0]).shape[:2]
    assert class_names(network) == ["background", *(f"class {k}" for k in range(1, folder.num_classes))]
    save_checkpoint(DeepLabV3Plus(3, "test_resnet", None, channels=8), path)
    with pytest.raises(
        ValueError, match=f"bare.safetensors was trained for 3 classes, and .*scenes has {folder.num_classes}"
    ):
        evaluate_network(load_network(path, device="cpu"), folder, folder.listed("val"), **settings)


def test_names_beside_a_network_are_as_many_as_its_classes(tmp_path):
    path = tmp_path / "x.safetensors"
    for names in (["background", "cat"], "cat", ["background", 1, 2], {"a": 1}):
        save_checkpoint(DeepLabV3Plus(3, "test_resnet", None, channels=8), path, classes=names)
        with pytest.raises(ValueError, match=r"x\.safetensors: damaged, or not a checkpoint of swsss"):
            load_network(path, device="cpu")


def test_the_same_classes_pass_every_door(made, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(made.run.parent.parent, home)
    write_json(home / "runs/mine/run.json", {"data": str(home / "scenes")})
    folder, labels = VOCFolder(home / "scenes"), home / "runs/mine/labels"
    assert find_results(home / "runs/mine").labels == labels
    assert export_labels(labels, folder, home / "out.zip", "voc") == 10
    assert len(verified_labels(labels, folder, folder.listed("train")[:2])) == 2
    network = load_network(made.run / "hybrid.safetensors", device="cpu")
    settings = {"scales": (1.0,), "flip": False, "progress": False}
    assert evaluate_network(network, folder, folder.listed("val"), **settings).sum() > 0
