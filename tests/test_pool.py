"A pool beside a folder teaches what the same photos in the folder teach, to the last bit, however it was stopped."

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from data_folder import LISTS, make_folder
from run_folder import launched_quickly
from run_notebook_command import ROOT, run_notebook_command
from torch.utils.data import DataLoader

from swsss.method.batches import PairedBatches
from swsss.method.recipe import Recipe
from swsss.photos.folder import VOCFolder
from swsss.photos.pool import Pool, tagged_names, with_pool
from swsss.runs.run_folder import pool_of, read_metrics
from swsss.runs.training import train, train_in_processes

pytest.importorskip("pyarrow", reason="pools need pyarrow: pip install 'swsss[pool]'")
from swsss.photos.make_pool import find_source, make_pool
from swsss.runs.pool_labels import PoolLabels

QUICK = {"channels": 16, "crop": 24, "num_strong": 2, "num_weak": 3, "iterations": 6, "log_every": 1, "snapshots": 0}
ROUNDS = {"method": "self_training", "rounds": 2, "round_part": 0.3, "classifier_part": 0.2, "round_weak": 3}
STOPPED = {"save_every": 1, "workers": 1}


def with_lists(source, root, **lists):
    "A copy of a folder with other lists."
    shutil.copytree(source, root)
    for which, names in lists.items():
        (root / f"ImageSets/Segmentation/{which}.txt").write_text("\n".join(names), encoding="utf-8")
    return VOCFolder(root)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A folder; the same without its weak photos, which are a pool."
    home = tmp_path_factory.mktemp("pool")
    make_folder(home / "whole")
    with_lists(home / "whole", home / "few", trainaug=LISTS["train"])
    with_lists(home / "whole", home / "weak", train="e", trainaug="efgh")
    make_pool(find_source(home / "weak"), home / "pool", progress=False)
    return home


def both(home):
    "The folder that has all photos, and the one with a pool."
    return VOCFolder(home / "whole"), with_pool(VOCFolder(home / "few"), home / "pool")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"augmentation": "light", "weak_flip": True, "weak_scale": True},
        {"augmentation": "affine", "repeat_threshold": 1.0, "longest_side": 20},
    ],
)
def test_batches_are_those_of_a_folder_byte_for_byte(home, options):
    how = {"num_strong": 2, "num_weak": 3, "crop": 20, "mean": (0.4,) * 3, "std": (0.2,) * 3, "seed": 3}
    one, other = (
        PairedBatches(folder, list("abcd"), tagged_names(folder), iterations=20, **how | options)
        for folder in both(home)
    )
    called = dict(zip([f"pool/{k:08d}" for k in range(4)], "efgh", strict=True))
    for k in range(20):
        theirs, ours = one[k], other[k]
        assert [called.get(name, name) for name in ours.names] == theirs.names
        for part in ("images", "labels", "tags", "has_labels", "valid"):
            assert torch.equal(getattr(ours, part), getattr(theirs, part)), (k, part)
    assert any(name.startswith("pool/") for k in range(20) for name in other.names(k))


def test_workers_that_are_started_anew_map_the_pool_themselves(home):
    folder = both(home)[1]
    how = {"num_strong": 1, "num_weak": 2, "crop": 20, "mean": (0.4,) * 3, "std": (0.2,) * 3, "seed": 0}
    pairs = PairedBatches(folder, list("abcd"), tagged_names(folder), iterations=2, **how)
    loader = DataLoader(pairs, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert all(torch.equal(batch.images, pairs[k].images) for k, batch in enumerate(loader))


def test_two_processes_share_a_pool_and_learn_what_one_learns(home, tmp_path):
    "Each looks up the sizes of the other's photos in the pool's table, since whole photos are padded to the largest."
    recipe = Recipe.demo(**QUICK | ROUNDS | {"workers": 0, "optimizer": "sgd", "lr": 1e-3})
    pooled = both(home)[1].with_labels(None, keep="abcd")
    assert {pooled.image_size(f"pool/{k:08d}") for k in range(4)} == {
        pooled.image(f"pool/{k:08d}").shape[:2] for k in range(4)
    }
    with launched_quickly():
        for count in (1, 2):
            train_in_processes(count, recipe, pooled, list("abcd"), tmp_path / str(count), "cpu")
    one, two = (read_metrics(tmp_path / str(count)) for count in (1, 2))
    assert len(one) == len(two) == QUICK["iterations"] and (one["tag"] > 0).any()
    np.testing.assert_allclose(two[["total", "seg", "tag"]], one[["total", "seg", "tag"]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["pct", "self_training"])
def test_a_run_ends_with_the_same_bits_even_if_it_was_stopped(home, tmp_path, method, monkeypatch):
    recipe = Recipe.demo(**QUICK | (ROUNDS if method == "self_training" else {}) | STOPPED)
    assert recipe.loss.method == method
    folder, pooled = (folder.with_labels(None, keep="abcd") for folder in both(home))
    train(recipe, folder, list("abcd"), tmp_path / "folder", "cpu")
    from swsss.runs import training

    losses_of, steps = training.step_losses, iter(range(100))

    def stopping(*args):
        "As before; in the third and the fifth step somebody stops the run."
        if next(steps) in (2, 4):
            signal.raise_signal(signal.SIGTERM)
        return losses_of(*args)

    monkeypatch.setattr(training, "step_losses", stopping)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="stopped as asked"):
            train(recipe, pooled, list("abcd"), tmp_path / "pool", "cpu")
    # what is not the pool that it began with is refused, and the run stays
    with pytest.raises(ValueError, match=r"the data differ .the pool, which -p pool PATH names"):
        train(recipe, VOCFolder(home / "few").with_labels(None, keep="abcd"), list("abcd"), tmp_path / "pool", "cpu")
    train(recipe, pooled, list("abcd"), tmp_path / "pool", "cpu")
    one, other = ((tmp_path / run / "hybrid.safetensors").read_bytes() for run in ("folder", "pool"))
    assert one == other
    assert pool_of(tmp_path / "pool") == str(home / "pool") and pool_of(tmp_path / "folder") == ""


def test_a_pool_that_was_changed_is_refused_before_training(home, tmp_path):
    shutil.copytree(home / "pool", tmp_path / "pool")
    table = tmp_path / "pool/photos-00000.arrow"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    with pytest.raises(
        ValueError, match=r"photos-00000.arrow is not as it was when the pool was made: its digest is ano"
    ):
        with_pool(VOCFolder(home / "few"), tmp_path / "pool").check()
    table.write_bytes(data[:-100])
    with pytest.raises(ValueError, match=r"it has [\d,]+ bytes, not [\d,]+\. Copy it again"):
        Pool(tmp_path / "pool")


MAKE = """
import sys
from swsss.photos import make_pool as room
room.ROWS_AT_ONCE, room.ROWS_PER_TABLE = 1, 2
room.make_pool(room.find_source(sys.argv[1]), sys.argv[2], progress=False)
"""
SLOW = "import time; decode = room.decode_image; room.decode_image = lambda d: time.sleep(0.2) or decode(d)"


def test_a_killed_make_pool_goes_on_and_ends_the_same(home, tmp_path):
    command = [sys.executable, "-c", MAKE.replace("room.ROWS", f"{SLOW}\nroom.ROWS", 1), home / "whole"]
    for number in (0, 2):
        process = subprocess.Popen([*command, tmp_path / "killed"])
        for _ in range(1200):
            if len([*(tmp_path / "killed").glob("photos-*.arrow")]) > number:
                break
            time.sleep(0.05)
        process.kill()
        process.wait()
        with pytest.raises(FileNotFoundError, match=r"it is not whole yet. The command that makes it goes on"):
            Pool(tmp_path / "killed")
    for place in ("killed", "at once"):
        subprocess.run([sys.executable, "-c", MAKE, home / "whole", tmp_path / place], check=True)
    killed, at_once = (Pool(tmp_path / place) for place in ("killed", "at once"))
    assert killed.fingerprint == at_once.fingerprint and len(killed) == 8
    killed.check()
    assert sorted(os.listdir(killed.root)) == sorted(os.listdir(at_once.root))


def test_from_a_folder_to_tables_of_labels_by_the_notebooks(home, tmp_path):
    out, place = tmp_path / "out.ipynb", {"runs": str(tmp_path / "runs"), "run": "mine"}
    done, said = run_notebook_command("make_pool", out, photos=str(home / "weak"), to=str(tmp_path / "pool"))
    assert done and "4 photos" in said, said
    how = {"data": str(home / "few"), "pool": str(tmp_path / "pool"), "name": "mine", "runs": place["runs"]}
    done, said = run_notebook_command("train_pct", out, recipe="demo", split="all", **how, **QUICK | {"workers": 0})
    assert done and "and Pool(" in said, said
    done, said = run_notebook_command("label_pool", out, **place, share="1/2", scales="1")
    assert done and "1 of 1 tables" in said, said
    labels, pool = PoolLabels(tmp_path / "runs/mine/pool-labels"), Pool(tmp_path / "pool")
    assert labels.column("name").tolist() == list("efgh")
    for row in range(4):
        assert labels.labels(row).shape == (24, 32)
        assert not np.setdiff1d(labels.labels(row), np.flatnonzero(pool.tags(row))).size
    about = json.loads((tmp_path / "runs/mine/run.json").read_text(encoding="utf-8"))
    assert (about["data"], about["pool"]) == (how["data"], how["pool"])


def test_a_data_set_that_datasets_saved(tmp_path):
    "Its state.json, its names of classes and its photos as bytes."
    pool, left_out = make_pool(find_source(ROOT / "tests/samples/datasets_saved"), tmp_path / "pool", progress=False)
    assert (len(pool), left_out, pool.classes) == (3, 0, ("background", "disc", "square"))
    assert pool.tag_matrix().tolist() == [[True, True, False], [True, True, True], [True, False, False]]
    for row, name in enumerate("abc"):
        assert pool.photo(row) == (ROOT / f"tests/samples/photos/{name}.png").read_bytes() and pool.name(row) == name


def test_without_the_library_one_sentence_says_what_to_install(home):
    code = "import sys; sys.modules['pyarrow'] = None; from swsss.photos.pool import Pool; Pool(sys.argv[1])"
    command = [sys.executable, "-c", code, home / "pool"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: A pool consists of Arrow tables: pip install 'swsss[pool]'"
