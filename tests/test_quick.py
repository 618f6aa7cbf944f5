"Quick learning that is killed at any moment, or at which people go on working, loses and half-writes nothing."

import multiprocessing
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from swsss.method.evaluate import DynamicEvaluation
from swsss.method.model import load_network
from swsss.method.recipe import Recipe
from swsss.photos.demo import draw_demo
from swsss.photos.files import file_digest
from swsss.photos.folder import VOCFolder
from swsss.photos.images import read_labels
from swsss.runs.label_folder import (
    Judgements,
    begin_label_folder,
    label_files,
    label_maker,
    read_corrected,
    write_corrected,
    write_pseudo_labels,
)
from swsss.runs.quick import label_again, label_settings, learn_quickly
from swsss.runs.run_folder import Run, masks_of
from swsss.runs.training import networks_to_train, train

STEPS, PATIENCE = 8, 300  # seconds
# what is there when it is killed: learning, written, labels copied, some of them made anew
MOMENTS = [".tmp-*/masks/*", ".tmp-*/hybrid.safetensors", "{}", "{}/.tmp-*/*", "{}/labels", "{}/labels/scores.csv"]
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["swsss.runs.quick"])  # its imports take seconds; done once, for all processes


def quick(root, run):
    "What is killed: learning, and all labels made anew."
    torch.set_num_threads(1)
    folder, labels = VOCFolder(root), run / "labels"
    new = learn_quickly(run, steps=STEPS, device="cpu")
    begin_label_folder(new / "labels", labels, folder.classes)
    label_again(new, folder, folder.listed("trainaug"), label_settings(labels))


def bytes_below(place):
    files = [path for path in Path(place).rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def mine(tmp_path):
    "A folder of photos, a run with labels, of which three are corrected and one is accepted."
    root = draw_demo(tmp_path / "scenes", strong=4, weak=16, val=1)
    folder, run = VOCFolder(root), tmp_path / "runs" / "mine"
    recipe = Recipe.demo(method="cce", split=4)
    torch.manual_seed(0)
    networks = networks_to_train(recipe, folder.num_classes)
    with Run(run, recipe, folder, strong=folder.listed("train")) as begun:
        begun.finish(networks, DynamicEvaluation(folder.num_classes))
    (run / "metrics.csv").write_text("iteration,total\n1,1\n")
    network, names = load_network(run / "hybrid.safetensors", device="cpu"), folder.listed("trainaug")
    made_by = {"network": "hybrid", "hybrid": network.about["digest"], "recipe": recipe.flat()}
    write_pseudo_labels(run / "labels", folder, names, network, made_by, scales=(1.0,), progress=False)
    weak = [name for name in names if name.startswith("weak")]
    write_corrected(run / "labels", [(name, folder.labels(name)) for name in weak[:3]], folder=folder)
    Judgements(run / "labels").set(weak[3], "accepted")
    return root, run, weak


def test_killed_at_any_moment(mine):
    "The run and its labels stay byte for byte; what is there of a quick network is whole; the next one succeeds."
    root, run, weak = mine
    folder, before = VOCFolder(root), bytes_below(run)
    killed = 0
    for moment in MOMENTS:
        process, end = processes.Process(target=quick, args=(root, run)), time.monotonic() + PATIENCE
        process.start()
        new = run.parent / f"mine-quick{len(list(run.parent.glob('mine-quick*'))) + 1}"
        while process.is_alive() and not list(run.parent.glob(moment.format(new.name))):
            assert time.monotonic() < end, "it hangs"
        killed += process.is_alive()
        process.kill()
        process.join()
        assert bytes_below(run) == before
        for new in run.parent.glob("mine-quick*"):
            assert load_network(new / "hybrid.safetensors", device="cpu").about["quick"]["run"] == "mine"
            assert masks_of(new) == weak[:3] and (new / "finished.json").is_file()
            if (new / "labels").exists():
                assert sorted(label_files(new / "labels")) == sorted(folder.listed("trainaug"))
                assert read_corrected(new / "labels") == weak[:3]
                assert Judgements(new / "labels").verdict(weak[3]) == "accepted"
    assert killed > 2
    quick(root, run)
    new = max(run.parent.glob("mine-quick*"), key=lambda path: int(path.name.removeprefix("mine-quick")))
    for name in folder.listed("trainaug"):
        maker = label_maker(new / "labels", name)
        stays = name in weak[:4]
        assert (maker.network == file_digest(new / "hybrid.safetensors")) != stays, name
    assert not list(run.parent.glob(".tmp-*")) and not list(new.rglob(".tmp-*"))


def test_people_go_on_meanwhile(mine):
    "Who corrects, accepts and rejects labels while they are made anew loses nothing."
    root, run, weak = mine
    folder = VOCFolder(root)
    new = learn_quickly(run, steps=STEPS, device="cpu")
    labels = new / "labels"
    begin_label_folder(labels, run / "labels", folder.classes)
    drawn, accepted = weak[4:10], weak[10:14]

    def work():
        for k, name in enumerate(drawn):
            write_corrected(labels, [(name, np.full((64, 64), k, np.uint8))], folder=folder)
        Judgements(labels).set(accepted, "accepted")

    kept = {name: (labels / f"{name}.png").read_bytes() for name in accepted}
    person = threading.Thread(target=work)
    person.start()
    label_again(new, folder, [*drawn, *accepted], label_settings(run / "labels"))
    person.join()
    assert set(drawn) <= set(read_corrected(labels))
    assert [read_labels(labels / f"{name}.png").max() for name in drawn] == list(range(6))
    verdicts = Judgements(labels)
    for name in accepted:  # accepted before it was made anew, and so left; or after, and so of the new label
        assert verdicts.verdict(name) in ("accepted", ""), name
        if verdicts.verdict(name) == "":
            assert (labels / f"{name}.png").read_bytes() != kept[name]


def test_no_training_goes_on_in_a_quick_run(mine):
    "It is refused in one sentence, and nothing in the folder changes."
    root, run, _ = mine
    folder = VOCFolder(root)
    new = learn_quickly(run, steps=1, device="cpu")
    before, recipe = bytes_below(new), Recipe.demo(method="cce", split=4, workers=0)
    with pytest.raises(ValueError, match=r"mine-quick1 was made by quick learning from mine .* pass another name"):
        train(recipe, folder, folder.listed("train"), new, "cpu")
    assert bytes_below(new) == before and not (new / "resume").exists()
