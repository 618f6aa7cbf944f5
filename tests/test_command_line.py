"The command `swsss` of an installed wheel, in an empty folder, as after `pip install swsss`."

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from browser import needs_browser, shown
from data_folder import make_folder
from installed import environment, swsss
from PIL import Image

from swsss.photos.files import find_notebook
from swsss.photos.images import read_labels, write_labels
from swsss.runs.command_line import COMMANDS, as_command, options_in
from swsss.runs.notebook import command_for

pytest_plugins = ["installed", "browser"]
TINY = {"recipe": "demo", "iterations": 6, "save_every": 3, "channels": 8, "crop": 16, "num_strong": 2, "num_weak": 2}
TINY |= {"snapshots": 0, "log-every": 1, "workers": 0}
TINY = [word for name, value in TINY.items() for word in (f"--{name}", value)]


def errors_in(notebook):
    cells = nbformat.read(notebook, 4).cells
    return [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "An empty folder but for somebody's photos."
    home = tmp_path_factory.mktemp("home")
    make_folder(home / "photos")
    return home


@pytest.fixture(scope="module")
def trained(home, site):
    "What `swsss train` and `swsss label` said there."
    train = swsss(site, home, "train", "--data", "photos", "--split", 4, "--name", "007", *TINY)
    assert train.returncode == 0, train.stderr
    label = swsss(site, home, "label", "--run", "007")
    assert label.returncode == 0, label.stderr
    return train, label


def test_train_and_label(home, trained):
    "Progress is told as it comes, what comes next as commands of this program, and the notebook is kept."
    train, label = trained
    assert (home / "runs/007/hybrid.safetensors").is_file()  # its name stayed a text
    assert re.search(r"6/6 .*loss [\d.]+", train.stdout + train.stderr)
    assert "Next: swsss label --run 007\nDone: runs/train.ipynb\n" in train.stdout
    assert "Executing" not in train.stderr and "unknown parameter" not in train.stderr
    told = json.loads((home / "runs/007/recipe.json").read_text())["recipe"]
    assert (told["iterations"], told["log_every"], told["crop"]) == (6, 1, 16)
    assert {path.stem for path in (home / "runs/007/labels").glob("*.png")} == set("abcdefgh")
    assert "Look at them by `swsss explore`." in label.stdout and "papermill" not in label.stdout
    assert "Next: swsss retrain --run" in label.stdout
    assert not errors_in(home / "runs/train.ipynb") and not errors_in(home / "runs/label.ipynb")


def test_retrain_and_new_photos(home, site, trained):
    done = swsss(site, home, "retrain", "--run", "007", *TINY)
    assert done.returncode == 0, done.stderr
    assert "6 iterations (--iterations N takes another number)" in done.stdout
    (home / "new").mkdir()
    for name in "pq":
        Image.new("RGB", (40, 30), "red").save(home / f"new/{name}.jpg")
    done = swsss(site, home, "label", "--run", "007-retrain", "--photos", "new", "--flip", "False")
    assert done.returncode == 0, done.stderr
    assert read_labels(home / "new-labels/p.png").shape == (30, 40)
    assert "Done: runs/label-2.ipynb" in done.stdout  # the first one's is kept


def test_evaluate(home, site, trained):
    done = swsss(site, home, "evaluate", "--run", "007", "--scales", "[1, 0.5]", "--notebook", "how/good.ipynb")
    assert done.returncode == 0, done.stderr
    assert re.search(r"HybridNet: mIoU [\d.]+ of 3 classes, with tags, 2 scales", done.stdout)
    assert (home / "how/good.ipynb").is_file()


def test_export_and_import(home, site, trained):
    "What is corrected elsewhere comes back as a person's label."
    done = swsss(site, home, "export", "--run", "007", "--format", "voc", "--out", "out.zip")
    assert done.returncode == 0 and (home / "out.zip").is_file(), done.stderr
    labels = read_labels(home / "runs/007/labels/e.png")
    labels[:] = 2
    (home / "corrected").mkdir()
    write_labels(home / "corrected/e.png", labels)
    done = swsss(site, home, "import", "corrected", "--run", "007")
    assert done.returncode == 0, done.stderr
    assert "1 labels of" in done.stdout and (read_labels(home / "runs/007/labels/e.png") == 2).all()


def test_check_lists_all_faults(home, site, tmp_path):
    assert swsss(site, home, "check", "photos").returncode == 0
    make_folder(tmp_path / "bad")
    rows = "".join(f"n{i},spoon\n" for i in range(50))
    with open(tmp_path / "bad/tags.csv", "a", encoding="utf-8") as table:
        table.write("\n" + rows)
    (tmp_path / "bad/JPEGImages/c.jpg").write_bytes(b"")
    done = swsss(site, tmp_path, "check", "bad")
    assert done.returncode == 1
    assert (
        all(f"n{i}" in done.stdout for i in range(50)) and "image empty (1)" in done.stdout and "c.jpg" in done.stdout
    )
    done = swsss(site, tmp_path, "check", "nowhere")
    assert done.returncode == 1 and "Traceback" not in done.stderr and str(tmp_path / "nowhere") in done.stderr


def test_a_refusal_is_one_sentence(home, site, trained):
    "That tells what to type here; --verbose has the traceback, and the notebook too."
    done = swsss(site, home, "retrain", "--run", "007", "--labels", "nothing", "--verbose")
    assert done.returncode == 1 and "Traceback" in done.stderr
    done = swsss(site, home, "retrain", "--run", "007", "--labels", "nothing")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    [said] = [line for line in done.stderr.splitlines() if line]
    assert said == f"there are no labels at {home / 'nothing'}: swsss label --run 007"
    kept = home / re.search("So far: (.*)", done.stdout)[1]
    assert errors_in(kept)[0].ename == "FileNotFoundError"


@pytest.mark.parametrize(
    ("arguments", "answer"),
    {
        "trian": "invalid choice: 'trian'",
        "train --splt 3": "did you mean --split",
        "label --crf --nothing-like-it 3": "see swsss label --help",
        "evaluate --scales [1": "no YAML",
        "import": "pass one FILE, or --to FOLDER",
        "": "COMMAND",
    }.items(),
)
def test_a_wrong_command_is_2(site, tmp_path, arguments, answer):
    done = swsss(site, tmp_path, *arguments.split())
    assert done.returncode == 2 and answer in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_tells_commands_fields_and_exit_codes(site, tmp_path):
    told = swsss(site, tmp_path, "--help").stdout
    assert all(re.search(rf"^    {command}\s", told, re.MULTILINE) for command in [*COMMANDS, "check", "explore"])
    assert "0 done; 1 refused or failed" in told and "130 stopped by Ctrl-C" in told and "143 by SIGTERM" in told
    told = " ".join(swsss(site, tmp_path, "train", "--help").stdout.split())
    assert "--data VALUE" in told and "--classifier_weight VALUE" in told and "800 for phone photos" in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_the_kernel(home, site, tmp_path, number, code):
    "Training writes a checkpoint and says how to go on; the notebook is written, and no kernel stays behind."
    (tmp_path / "photos").symlink_to(home / "photos")
    many = ["--data", "photos", "--split", 4, "--name", "long", *TINY, "--iterations", 100_000, "--save_every", 90_000]
    command = [sys.executable, site / "bin/swsss", "train", *map(str, many)]
    with open(tmp_path / "log.txt", "w", encoding="utf-8") as log:
        how = {"cwd": tmp_path, "env": environment(site), "stdout": log, "stderr": log, "start_new_session": True}
        hear = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # `pytest &` ignores it
        process = subprocess.Popen(command, **how, **hear)
    metrics = tmp_path / "runs/long/metrics.csv"
    for _ in range(600):
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        if metrics.is_file() and len(metrics.read_text().splitlines()) > 3:
            break
        time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(120) == code
    said = (tmp_path / "log.txt").read_text()
    done = re.search(r"stopped as asked after iteration (\d+); the same command goes on", said)
    assert done and list((tmp_path / "runs/long/resume").iterdir()), said
    assert "So far: runs/train.ipynb" in said and "Traceback" not in said
    assert errors_in(tmp_path / "runs/train.ipynb")[0].ename == "KeyboardInterrupt"


def test_what_notebooks_print_to_type_becomes_a_command():
    "Every papermill command in what is printed or raised becomes one that this program takes."
    for command, (notebook, _) in COMMANDS.items():
        for run, name in (("/disk/runs/mine", "/disk/runs/mine"), ("/disk/my runs/a", "'/disk/my runs/a'")):
            if command != "import":  # which is of no run
                printed = command_for(notebook, Path(run), "out")
                assert as_command(printed) == f"swsss {command} --run {name}"
        for cell in nbformat.read(find_notebook(notebook), 4).cells:
            for line in cell.source.splitlines() if cell.cell_type == "code" else []:
                if re.search(r"papermill nbs/\w+\.ipynb", line):
                    assert "papermill" not in as_command(line) and " -p " not in as_command(line), line


def test_options_are_plain_values_with_the_comments_beside_them():
    source = "import a\nx = 1  # how many\ny = f(x)\nclass C:\n    z: int = (\n  2  # in two lines\n )\n    w: str\n"
    found = options_in(source)
    assert {name: tuple(option) for name, option in found.items()} == {"x": (1, "how many"), "z": (2, "in two lines")}


@needs_browser
def test_explore(home, site, trained, page, tmp_path):
    "JupyterLab opens with the explorer in sight and alive, nobody having pressed anything."
    (tmp_path / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
    env = environment(site) | {f"JUPYTER_{what}_DIR": str(tmp_path / what) for what in ("RUNTIME", "DATA")}
    env |= {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces")}
    command = [sys.executable, site / "bin/swsss", "explore", "--no-browser"]
    process = subprocess.Popen(command, cwd=home, env=env, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line.strip() for line in process.stdout if "http://" in line)
        page.driver.get(address)
        explorer = page.one(".swsss-explorer")
        page.until(lambda: len(shown(page)) == 8, "thumbnails")
        top, height = page.driver.execute_script(
            "return [arguments[0].getBoundingClientRect().top, innerHeight]", explorer
        )
        assert 0 <= top < height / 2, (top, height)
        page.choose("name")  # answered by the kernel
        page.until(lambda: shown(page) == sorted(shown(page)), "the order by name")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
