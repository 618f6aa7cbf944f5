"""Two processes that label, import, correct, judge, undo, restore and export in one label folder, killed at random.

    python benchmarks/soak.py --seconds 600

Each process tells this one, through a pipe, what it begins and what has returned. That journal knows nothing of the
label folder's files. From time to time both are killed and the folder is compared with it:

- the label of every photo is the last one saved, by whomever, or one that was on its way when its process was killed;
- what a person made counts as a person's, and nothing of the network's does;
- every label whose saving had returned is in place or kept beside;
- verdict and note are those given last, and no verdict stands on a label that it was not given to;
- what was exported as corrected was a person's.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from torch import nn

from swsss.photos.demo import draw_demo
from swsss.photos.folder import VOCFolder
from swsss.photos.formats import WRITERS, Labelled
from swsss.photos.images import pixel_digest, read_about, read_labels
from swsss.photos.read_exports import open_export
from swsss.runs.export import export_labels
from swsss.runs.label_folder import (
    Judgements,
    LabelChanged,
    import_labels,
    kept_labels,
    label_version,
    network_label,
    read_corrected,
    read_scores,
    restore_network_label,
    write_corrected,
    write_pseudo_labels,
)

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["swsss.runs.export", "swsss.runs.label_folder", "swsss.photos.demo"])
MEAN_LIFE = 1.5  # seconds until a process is killed
ROUND = 12  # seconds between two comparisons


class Small(nn.Module):
    "One convolution."

    mean, std = torch.full((3,), 0.5), torch.full((3,), 0.25)

    def __init__(self, num_classes):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, num_classes, 5, padding=2)

    def forward(self, images):
        return 5 * self.conv(images)


def label(root, label_dir, names=None):
    "Label what is missing."
    folder = VOCFolder(root)
    made_by = {"network": "hybrid", "hybrid": "c0ffee"}
    how = {"scales": (1.0,), "flip": False, "progress": False}
    return write_pseudo_labels(label_dir, folder, names or folder.names, Small(folder.num_classes), made_by, **how)


def drawn(number, size=(64, 64)):
    "A label that no other saving has: its number, in base 10, in the first pixels."
    labels = np.ones(size, np.uint8)
    labels[0, :10] = [int(digit) for digit in f"{number:010}"]
    return labels


class Worker:
    "What one of the two does, and tells."

    def __init__(self, root, home, pipe, seed):
        self.folder, self.home, self.label_dir, self.pipe = VOCFolder(root), home, home / "labels", pipe
        self.rng, self.judgements, self.done = random.Random(seed), Judgements(home / "labels"), []
        self.numbers = iter(range(seed * 10_000, (seed + 1) * 10_000))

    def tell(self, what, act, **about):
        "Tell that something begins, do it, and tell how it ended."
        number = next(self.numbers)
        self.pipe.send({"number": number, "what": what, "begun": time.monotonic_ns(), **about})
        try:
            answer = act()
        except LabelChanged:
            answer = "refused"
        except FileNotFoundError as error:
            if "keeps no label" not in str(error):
                raise
            answer = "refused"
        self.pipe.send({"number": number, "ended": time.monotonic_ns(), "answer": answer})
        return answer

    def correct(self):
        name, number = self.rng.choice(self.folder.names), next(self.numbers)
        seen, pixels = label_version(self.label_dir, name), drawn(number)
        time.sleep(self.rng.choice([0, 0, 0.02]))  # a person works on it

        def act():
            write_corrected(self.label_dir, [(name, pixels)], seen=seen, folder=self.folder)

        self.tell("save", act, saved={name: pixel_digest(pixels)})

    def restore(self):
        name = self.rng.choice(self.folder.names)
        if network_label(self.label_dir, name).is_file():
            seen = label_version(self.label_dir, name)
            self.tell(
                "restore", lambda: restore_network_label(self.label_dir, name, seen=seen), saved={name: "network"}
            )

    def take_in(self):
        names = self.rng.sample(self.folder.names, 3)
        pixels = {name: drawn(next(self.numbers)) for name in names}
        place = self.home / f"import-{os.getpid()}.zip"
        items = (Labelled(name, one, self.folder.image_path(name), name) for name, one in pixels.items())
        WRITERS["voc"](place, items, self.folder.classes)
        saved = {name: pixel_digest(one) for name, one in pixels.items()}
        self.tell("import", lambda: len(import_labels(place, self.label_dir, self.folder)[0]), saved=saved)

    def judge(self):
        name, number = self.rng.choice(self.folder.names), next(self.numbers)
        if not (seen := label_version(self.label_dir, name)):
            return  # nobody judges what is not there
        change = {"verdict": self.rng.choice(["accepted", "rejected"]), "note": str(number)}
        self.judgements.refresh()
        row = self.judgements.rows.get(name, {})
        before = {key: row.get(key, "") for key in ("verdict", "note", "label")}

        def act():
            left = self.judgements.update({name: change}, seen=seen, expected={name: row})
            return "refused" if left else None

        if self.tell("judge", act, judged={name: [change["verdict"], change["note"], seen]}) is None:
            self.done.append((name, before, self.judgements.rows[name]))

    def undo(self):
        if self.done:
            name, before, mine = self.done.pop()

            def act():
                return "refused" if self.judgements.update({name: before}, expected={name: mine}) else None

            self.tell("undo", act, judged={name: [before["verdict"], before["note"], before["label"]]})

    def label(self):
        names = self.rng.sample(self.folder.names, 8)
        self.tell("label", lambda: len(label(self.folder.root, self.label_dir, names)))

    def work(self):
        "Until it is killed."
        acts = [self.correct] * 6 + [self.restore] * 2 + [self.judge] * 4 + [self.undo] * 2
        acts += [self.take_in, self.label, self.export, self.forget]
        while True:
            self.rng.choice(acts)()

    def forget(self):
        "Lose a cache, as a careless hand or another program does."
        place = self.label_dir / self.rng.choice(["scores.csv", "corrected.txt"])
        place.unlink(missing_ok=True)

    def export(self):
        place = self.home / f"export-{os.getpid()}.zip"

        def act():
            try:
                export_labels(self.label_dir, self.folder, place, "voc", "corrected")
            except ValueError as error:
                if "no label that is corrected" not in str(error):
                    raise
                return []
            with open_export(place, self.folder.classes) as found:
                return [[name, pixel_digest(read())] for name, read in found.items()]

        self.tell("export", act)


def work(root, home, pipe, seed):
    "What one process does."
    torch.set_num_threads(1)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        Worker(root, home, pipe, seed).work()


class Life:
    "One process from its start to its end, which comes by SIGKILL."

    def __init__(self, root, home, seed, rng):
        self.pipe, theirs = processes.Pipe(duplex=False)
        self.process = processes.Process(target=work, args=(root, home, theirs, seed))
        self.process.start()
        theirs.close()
        self.end, self.told = time.monotonic() + rng.expovariate(1 / MEAN_LIFE) + 0.4, {}

    def listen(self):
        "Take in what it has told."
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                self.told.setdefault(message["number"], {}).update(message)
        except EOFError:
            pass

    def kill(self):
        "End it; the journal of what it did, with the moment of its end for what was on its way."
        self.listen()
        self.process.kill()
        self.process.join()
        now = time.monotonic_ns()
        self.listen()
        assert self.process.exitcode == -9, f"a process ended by itself, with {self.process.exitcode}"
        self.pipe.close()
        return [{"returned": "ended" in entry, "ended": now, **entry} for entry in self.told.values()]


def possible(journal, first):
    "What may stand: the outcomes of those after which nothing was begun that returned."
    entries = [{"outcome": first, "begun": -1, "ended": -1, "returned": True}, *journal]
    last = max(entry["begun"] for entry in entries if entry["returned"])
    return [entry["outcome"] for entry in entries if entry["ended"] >= last or entry["begun"] == last]


class Checker:
    "Compares the label folder with the journal."

    def __init__(self, folder, label_dir, own):
        self.folder, self.label_dir, self.own = folder, label_dir, own
        self.journal, self.problems, self.known = [], [], {}

    def of(self, name, key):
        "The journal of one photo."
        entries = (entry for entry in self.journal if name in entry.get(key, ()) and entry.get("answer") != "refused")
        return [entry | {"outcome": entry[key][name]} for entry in entries]

    def digest(self, path):
        "The digest of a label's pixels; kept labels never change."
        if path not in self.known:
            self.known[path] = pixel_digest(read_labels(path))
        return self.known[path]

    def check(self):
        "Note whatever is wrong."
        corrected, judgements = set(read_corrected(self.label_dir)), Judgements(self.label_dir)
        for name in self.folder.names:
            self.check_label(name, name in corrected)
            row = judgements.rows.get(name, {})
            found = [row.get(key, "") for key in ("verdict", "note", "label")]
            if found not in (allowed := possible(self.of(name, "judged"), ["", "", ""])):
                self.problems.append(f"{name}: judged {found}, should be one of {allowed}")
            holds = found[0] if found[2] == label_version(self.label_dir, name) else ""
            if judgements.verdict(name) != holds:
                self.problems.append(f"{name}: the verdict {found} counts as {judgements.verdict(name)!r}")

    def check_label(self, name, corrected):
        path, saves = self.label_dir / f"{name}.png", self.of(name, "saved")
        now = pixel_digest(read_labels(path)) if path.is_file() else self.own[name]
        found = "network" if now == self.own[name] else now
        if found not in (allowed := possible(saves, "network")):
            self.problems.append(f"{name}: {found} is there, should be one of {allowed}")
        if corrected != (found != "network") or (path.is_file() and bool(read_about(path)) is False):
            self.problems.append(f"{name}: {found} counts as {'a person' if corrected else 'the network'}'s")
        kept = {now} | {self.digest(path) for path in kept_labels(self.label_dir, name)}
        returned = {entry["outcome"] for entry in saves if entry["returned"]} - {"network"}
        if lost := returned - kept:
            self.problems.append(f"{name}: {len(lost)} labels of a person are nowhere")

    def check_exports(self, entries):
        "What was exported as corrected was made by a person."
        made = {(name, digest) for entry in self.journal for name, digest in entry.get("saved", {}).items()}
        for entry in entries:
            if entry["what"] == "export":
                wrong = [pair for pair in entry.get("answer") or [] if tuple(pair) not in made]
                self.problems += [f"{pair[0]}: a label that no person made was exported as one's" for pair in wrong]


def count(journal, checker, kills):
    "What happened, in numbers."
    whats = Counter(entry["what"] for entry in journal if entry["returned"])
    saves = [entry for entry in journal if entry["returned"] and entry["what"] in ("save", "import")]
    return {
        "kills": kills,
        **dict(sorted(whats.items())),
        "refused": sum(entry.get("answer") == "refused" for entry in journal),
        "on their way at a kill": sum(not entry["returned"] for entry in journal),
        "labels of a person": sum(len(entry["saved"]) for entry in saves if entry["answer"] != "refused"),
        "kept beside": len(checker.known),
        "problems": len(checker.problems),
    }


def soak(seconds, seed, home, progress=True):
    "The counts, and what was wrong."
    rng, root, label_dir = random.Random(seed), draw_demo(home / "demo", strong=6, weak=16, val=2), home / "labels"
    folder = VOCFolder(root)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        label(root, home / "reference")
        label(root, label_dir, folder.names[::2])
    own = {name: pixel_digest(read_labels(home / "reference" / f"{name}.png")) for name in folder.names}
    checker, seeds, kills = Checker(folder, label_dir, own), iter(range(1, 10**6)), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end and not checker.problems:
        lives, pause = [Life(root, home, next(seeds), rng) for _ in range(2)], min(end, time.monotonic() + ROUND)
        told = []
        while lives:
            time.sleep(0.02)
            for life in list(lives):
                life.listen()
                if time.monotonic() > min(life.end, pause):
                    told += life.kill()
                    kills += 1
                    lives.remove(life)
                    if time.monotonic() < pause:
                        lives.append(Life(root, home, next(seeds), rng))
        checker.journal += told
        checker.check()
        checker.check_exports(told)
        if progress:
            print(json.dumps(count(checker.journal, checker, kills)), flush=True)
    finish(root, label_dir, folder, checker)
    return count(checker.journal, checker, kills), checker.problems


def finish(root, label_dir, folder, checker):
    "Labelling that is given once more completes the folder, and changes nothing of a person's."
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        label(root, label_dir)
    checker.check()
    scored, left = set(read_scores(label_dir)["name"]), list(label_dir.rglob(".tmp-*"))
    if scored != set(folder.names) or left:
        checker.problems.append(f"{len(scored)} of {len(folder.names)} labels have scores; {len(left)} leftovers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        counts, problems = soak(arguments.seconds, arguments.seed, Path(temporary))
    print("\n".join([*problems, json.dumps(counts)]))
    sys.exit(bool(problems))
