"""Exports are read by the tools that they are for, as these read by default.

Tools that the project does not need may live in environments of their own: TOOLS=/a/bin/python:/b/bin/python pytest ...
"""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from functools import cache
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from run_notebook_command import ROOT, run_notebook_command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torchvision.datasets import VOCSegmentation

from swsss import VOCFolder
from swsss.method.model import load_network
from swsss.method.recipe import Recipe
from swsss.photos.demo import draw_demo
from swsss.photos.files import write_json
from swsss.photos.formats import ENDINGS, READ_BACK, WRITERS, label_studio_steps
from swsss.photos.images import read_labels, voc_palette, write_labels
from swsss.photos.new_photos import PhotoFolder
from swsss.photos.read_exports import open_export
from swsss.runs.export import export_labels
from swsss.runs.quality import evaluate_once
from swsss.runs.run_folder import read_metrics
from swsss.runs.training import train

CLASSES = ("background", "hair", "skin", "a coat & <tie>")
NAMES = ("a", "Grün 1.5", "東京")
QUIET = {"HF_HUB_OFFLINE": "1", "COLLECT_ANALYTICS": "0", "LATEST_VERSION_CHECK": "0", "SENTRY_DSN": ""}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "Photos, labels of them, and these labels in every format, archives unpacked."
    home = tmp_path_factory.mktemp("my exports")
    rng = np.random.default_rng(0)
    for name, suffix in zip(NAMES, (".jpg", ".JPEG", ".jpg"), strict=True):
        for part in ("data/JPEGImages", "data/SegmentationClass"):
            (home / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(home / f"data/JPEGImages/{name}{suffix}")
        labels = np.kron(rng.choice([0, 1, 2, 3, 255], (6, 8)), np.ones((4, 4), int))
        write_labels(home / f"labels/{name}.png", labels)
    (home / "data/classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")
    write_json(home / "labels/labels.json", {"network": "hybrid", "classes": CLASSES})
    folder = VOCFolder(home / "data")
    for form, ending in ENDINGS.items():
        out = home / "out" / f"{form}{ending}"
        export_labels(home / "labels", folder, out, form, photos=ending == ".zip")
        if ending == ".zip":
            with zipfile.ZipFile(out) as archive:
                archive.extractall(home / form)
    return home


def labels_of(home):
    return {name: read_labels(home / f"labels/{name}.png") for name in NAMES}


@cache
def python_with(module):
    "A Python that has a tool, this one or one of those in TOOLS."
    for python in [sys.executable, *filter(None, os.environ.get("TOOLS", "").split(os.pathsep))]:
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", code], check=False).returncode == 0:
            return python
    pytest.skip(f"{module} is not installed: pip install it, here or elsewhere, and name that python in TOOLS")


def elsewhere(module, code, home):
    "What a tool's own Python prints, as JSON."
    own = {"HOME": str(home), "HF_HOME": str(home / "cache"), "PYTHONPATH": ""}
    done = subprocess.run(
        [python_with(module), "-c", code, str(home)],
        env=os.environ | QUIET | own,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def areas_of(home, counted=(0, 1, 2, 3, 255)):
    "Name -> pixels of each class."
    names = dict(enumerate(CLASSES)) | {255: "void"}
    return {
        name: {names[k]: int((labels == k).sum()) for k in counted if (labels == k).any()}
        for name, labels in labels_of(home).items()
    }


def test_torchvision_reads_voc_by_its_defaults(home):
    found = VOCSegmentation(home / "voc")
    assert len(found) == len(NAMES)
    for name, (photo, mask) in zip(NAMES, (found[k] for k in map(sorted(NAMES).index, NAMES)), strict=True):
        assert np.array_equal(np.array(mask), labels_of(home)[name])
        original = next(home.glob(f"data/JPEGImages/{name}.*"))
        assert np.array_equal(np.array(photo), np.array(Image.open(original)))


def test_pycocotools_reads_coco(home):
    found = COCO(home / "out/coco.json")
    for image in found.imgs.values():
        seen = np.zeros((image["height"], image["width"]), np.uint8)
        for one in found.imgToAnns[image["id"]]:
            seen[found.annToMask(one) > 0] = one["category_id"]
        assert np.array_equal(seen, labels_of(home)[image["name"]])


@pytest.mark.parametrize(("form", "counted"), [("voc", (0, 1, 2, 3, 255)), ("cvat", (1, 2, 3, 255))])
def test_datumaro_reads_voc_and_cvat_with_our_classes(home, form, counted):
    code = """
import json, sys
from datumaro import AnnotationType, Dataset
found = Dataset.import_from(f"{sys.argv[1]}/FORM", "voc_segmentation")
names = [one.name for one in found.categories()[AnnotationType.label]]
print(json.dumps([names, {i.id: {names[a.label]: int(a.image.sum()) for a in i.annotations} for i in found}]))
"""
    names, areas = elsewhere("datumaro", code.replace("FORM", form), home)
    assert names == [*CLASSES, "void"]
    assert areas == areas_of(home, counted)


def test_datumaro_reads_coco(home):
    (home / "coco/annotations").mkdir(parents=True, exist_ok=True)
    shutil.copytree(home / "data/JPEGImages", home / "coco/images/train", dirs_exist_ok=True)
    shutil.copy(home / "out/coco.json", home / "coco/annotations/instances_train.json")
    code = """
import json, sys
from datumaro import AnnotationType, Dataset
found = Dataset.import_from(f"{sys.argv[1]}/coco", "coco")
names = [one.name for one in found.categories()[AnnotationType.label]]
masks = {i.id: [a for a in i.annotations if hasattr(a, "image")] for i in found}
print(json.dumps({name: {names[a.label]: int(a.image.sum()) for a in those} for name, those in masks.items()}))
"""
    assert elsewhere("datumaro", code, home) == areas_of(home, (1, 2, 3, 255))


def test_datasets_knows_the_classes(home):
    code = """
import json, sys
import numpy as np
from datasets import load_dataset
found = load_dataset(f"{sys.argv[1]}/out/datasets", split="train")
tags = found.features["tags"].feature
rows = {row["name"]: [np.array(row["label"]).tolist(), tags.int2str(row["tags"]), row["image"].size] for row in found}
print(json.dumps([tags.names, rows]))
"""
    names, rows = elsewhere("datasets", code, home)
    assert names == list(CLASSES)
    for name, labels in labels_of(home).items():
        shown = [CLASSES[k] for k in np.unique(labels) if k < 255]
        assert rows[name] == [labels.tolist(), shown, [32, 24]]
    id2label = json.loads((home / "out/datasets/id2label.json").read_text(encoding="utf-8"))
    assert id2label == {str(k): name for k, name in enumerate(CLASSES)}


def test_supervision_reads_coco(home):
    code = """
import json, pathlib, sys
import supervision
home = sys.argv[1]
found = supervision.DetectionDataset.from_coco(f"{home}/data/JPEGImages", f"{home}/out/coco.json", force_masks=True)
areas = {}
for path, _, one in found:
    pixels = zip(one.class_id.tolist(), one.mask.sum((1, 2)).tolist())
    areas[pathlib.Path(path).stem] = {found.classes[k]: area for k, area in pixels}
print(json.dumps(areas))
"""
    assert elsewhere("supervision", code, home) == areas_of(home, (1, 2, 3, 255))


def test_supervision_reads_yolo(home):
    "Every pixel of a class, holes left free, on photos of odd sizes; void is background there."
    code = """
import json, sys
import supervision
yolo = f"{sys.argv[1]}/yolo"
place = f"{yolo}/images", f"{yolo}/labels", f"{yolo}/data.yaml"
found = supervision.DetectionDataset.from_yolo(*place, force_masks=True)
labels = {}
for path, image, one in found:
    seen = [[0] * image.shape[1] for _ in range(image.shape[0])]
    for k, mask in zip(one.class_id.tolist(), one.mask):
        for y, x in zip(*(side.tolist() for side in mask.nonzero())):
            assert seen[y][x] == 0
            seen[y][x] = k + 1
    labels[path.split("/")[-1].rpartition(".")[0]] = seen
print(json.dumps([found.classes, labels]))
"""
    classes, seen = elsewhere("supervision", code, home)
    assert classes == list(CLASSES[1:])
    for name, labels in labels_of(home).items():
        assert np.array_equal(seen[name], np.where(labels == 255, 0, labels)), name


LABELME = """
import json, pathlib, sys
from labelme import LabelFile, utils
values = dict(json.loads(sys.argv[2]))
seen = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("labelme/*.json")):
    one = LabelFile(str(path))
    image = utils.img_data_to_arr(one.image_data)
    seen[path.stem] = utils.shapes_to_label(image.shape, one.shapes, values)[0].tolist()
print(json.dumps(seen))
"""


def test_labelme_reads_its_own(home):
    "To the bit, void too, each with the photo beside it."
    values = json.dumps({name: k for k, name in enumerate(CLASSES)} | {"void": 255})
    seen = elsewhere("labelme", LABELME.replace("sys.argv[2]", repr(values)), home)
    assert seen.keys() == set(NAMES)
    assert all(np.array_equal(seen[name], labels) for name, labels in labels_of(home).items())


def test_shapes_drawn_in_labelme_come_back(tmp_path):
    "Filled with their borders, as labelme does; a line is left out and counted, a photo without shapes too."
    shapes = [
        {"label": "hair", "shape_type": "rectangle", "points": [[2, 1], [6, 4]]},
        {"label": "skin", "shape_type": "polygon", "points": [[8, 0], [12, 0], [12, 4], [8, 4]]},
        {"label": "void", "shape_type": "circle", "points": [[16, 16], [16, 19]]},
        {"label": "skin", "shape_type": "line", "points": [[0, 0], [9, 9]]},
    ]
    for name, drawn in {"a": shapes, "b": []}.items():
        content = {"shapes": drawn, "imagePath": f"..\\JPEGImages\\{name}.jpg", "imageData": None}
        content |= {"imageHeight": 24, "imageWidth": 32}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    with open_export(tmp_path, CLASSES, ["a", "b"]) as found:
        labels, left_out = found["a"](), found.left_out()
    assert list(found) == ["a"] and (labels == 1).sum() == 20 and (labels == 2).sum() == 25
    assert (labels == 255).sum() == 37 and labels[16, 16] == 255
    assert any("1 region is of a shape that is not drawn here" in one for one in left_out)
    assert any("no annotation" in one for one in left_out)
    with open_export(tmp_path / "b.json", CLASSES, ["b"], empty_is_background=True) as found:
        assert not found["b"]().any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label": "horse"}, "'horse' is not a class"),
        ({"points": [[0, 0], [900, 3]]}, "a coordinate is 900"),
        ({"points": [[0, 0], [5, 5]]}, "not as large as its box"),
        ({"mask": "no PNG"}, "cannot be read as a label"),
        ({"mask": None}, "cannot be read as a label"),
        ({"shape_type": "polygon", "points": [[0, 0], [1e9, 0], [3, 3]]}, "a coordinate is"),
        ({"shape_type": "polygon", "points": [[0, 0], [1], [3, 3]]}, "cannot be read as a label"),
    ],
)
def test_a_damaged_file_of_labelme_is_one_sentence(home, tmp_path, change, said):
    content = json.loads((home / "labelme/a.json").read_text(encoding="utf-8"))
    content["shapes"][0] |= change
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=said) as caught, open_export(tmp_path, CLASSES) as found:
        found["a"]()
    assert "a.json" in str(caught.value)


def test_all_come_back_to_the_bit(home):
    for form in READ_BACK:
        with open_export(home / f"out/{form}{ENDINGS[form]}", CLASSES) as found:
            back = {name: read() for name, read in found.items()}
        assert back.keys() == set(NAMES)
        assert all(np.array_equal(back[name], labels) for name, labels in labels_of(home).items()), form
    unpacked = VOCFolder(home / "voc")
    assert (unpacked.classes, sorted(unpacked.listed("train"))) == (CLASSES, sorted(NAMES))


def test_voc_of_older_versions_comes_back(home, tmp_path):
    "Masks at the top, a list trainval.txt, no labelmap.txt: so did version 0.2 write it."
    with zipfile.ZipFile(tmp_path / "old.zip", "w") as archive:
        for name in NAMES:
            archive.write(home / f"labels/{name}.png", f"SegmentationClass/{name}.png")
        archive.writestr("ImageSets/Segmentation/trainval.txt", "".join(f"{name}\n" for name in NAMES))
        archive.writestr("classes.txt", "".join(f"{name}\n" for name in CLASSES))
    with open_export(tmp_path / "old.zip", CLASSES) as found:
        assert all(np.array_equal(found[name](), labels) for name, labels in labels_of(home).items())


def test_classes_that_a_list_of_colours_cannot_hold_are_refused(home, tmp_path):
    for form in ("voc", "cvat"):
        for name in ("a:b", "#a"):
            with pytest.raises(ValueError, match=r"labelmap.txt cannot hold the class .* or choose coco"):
                WRITERS[form](tmp_path / "x.zip", iter(()), ("background", name))
    assert list(tmp_path.iterdir()) == []


def test_the_notebook_says_how_label_studio_shows_the_photos(home):
    place = {"labels": str(home / "labels"), "data": str(home / "data")}
    done, said = run_notebook_command("export_labels", home / "1.ipynb", **place, format="labelstudio")
    assert done, said
    assert label_studio_steps(home / "labels-usable-labelstudio.json", home / "data/JPEGImages", CLASSES) in said
    root = f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT='{home}/data'"
    assert "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true" in said and root in said
    for folder in (VOCFolder(home / "data"), PhotoFolder(home / "data/JPEGImages", CLASSES)):
        export_labels(home / "labels", folder, home / "again.json", "labelstudio")
        for task in json.loads((home / "again.json").read_text(encoding="utf-8")):
            assert re.match(r"/data/local-files/\?d=JPEGImages/[^/]+\.(jpg|JPEG)$", task["data"]["image"])


TOKEN = "0123456789abcdef" * 2 + "01234567"


class LabelStudio:
    "Its server on a port of this machine, started as `label_studio_steps` says."

    def __init__(self, home, root):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        program = Path(python_with("label_studio")).with_name("label-studio")
        command = [program, "start", "--data-dir", home / "ls", "--internal-host", "127.0.0.1", "--port", self.port]
        command += ["--no-browser", "--username", "a@b.cd", "--password", "only-a-test", "--user-token", TOKEN]
        own = {"HOME": str(home), "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true", "PYTHONPATH": ""}
        own |= {"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root)}
        self.log = open(home / "server.log", "w", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*map(str, command), "--enable-legacy-api-token"],
            cwd=home,
            env=os.environ | QUIET | own,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def wait(self, seconds=240):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return self.ask("/health")
            except (URLError, ConnectionError):
                time.sleep(1)
        raise AssertionError(Path(self.log.name).read_text(encoding="utf-8")[-3000:])

    def ask(self, path, content=None):
        "Bytes of an answer; content is sent as JSON."
        data = None if content is None else json.dumps(content).encode()
        head = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, head), timeout=60) as answer:
            return answer.read()

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def test_label_studio_shows_the_photos_and_gives_the_labels_back(home, tmp_path):
    python_with("label_studio")
    steps = label_studio_steps(home / "out/labelstudio.json", home / "data/JPEGImages", CLASSES)
    storage = re.search(r"local path is (.+); save", steps).group(1)
    root = re.search(r"DOCUMENT_ROOT='(.+)' label-studio", steps).group(1)
    studio = LabelStudio(tmp_path, root)
    try:
        studio.wait()
        config = steps[steps.index("<View>") :]
        project = json.loads(studio.ask("/api/projects", {"title": "ours", "label_config": config}))["id"]
        tasks = json.loads((home / "out/labelstudio.json").read_text(encoding="utf-8"))
        studio.ask(f"/api/projects/{project}/import", tasks)
        place = {"project": project, "path": storage, "use_blob_urls": True, "title": "photos"}
        studio.ask("/api/storages/localfiles", place)
        with pytest.raises(HTTPError):  # what it refuses, and where earlier exports looked for their photos
            studio.ask("/api/storages/localfiles", place | {"path": root})
        listed = json.loads(studio.ask(f"/api/tasks?project={project}&fields=all"))["tasks"]
        assert len(listed) == len(NAMES)
        for task in listed:
            photo = next(home.glob(f"data/JPEGImages/{task['data']['name']}.*"))
            assert studio.ask(quote(task["data"]["image"], safe="/?=%")) == photo.read_bytes()
            shown = task["predictions"][0]["result"]
            studio.ask(f"/api/tasks/{task['id']}/annotations", {"result": shown})  # submitted as it is shown
        (tmp_path / "back.json").write_bytes(studio.ask(f"/api/projects/{project}/export?exportType=JSON"))
    finally:
        studio.stop()
    with open_export(tmp_path / "back.json", CLASSES) as found:
        assert found.keys() == set(NAMES)
        assert all(np.array_equal(found[name](), labels) for name, labels in labels_of(home).items())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    "A run folder, trained, and measured in three ways."
    home = tmp_path_factory.mktemp("runs")
    folder = VOCFolder(draw_demo(home / "demo", strong=4, weak=4, val=2))
    recipe = Recipe.demo(method="cce", channels=16, num_strong=2, num_weak=2, iterations=4, log_every=2, workers=0)
    recipe = recipe.change(snapshots=2, snapshot_every=2, backbone="test_resnet", weights="none")
    train(recipe, folder, folder.listed("train"), home / "run", "cpu")
    network = load_network(home / "run/hybrid.safetensors", device="cpu")
    for how in ({"scales": (1.0,)}, {"scales": (1.0,), "flip": False}, {"scales": (0.5, 1.0)}):
        evaluate_once(home / "run/evaluation.json", "HybridNet", network, folder, True, **how)
    return home / "run", recipe


def test_tensorboard_shows_miou_snapshots_and_recipe_and_no_empty_curves(run):
    path, recipe = run
    found = EventAccumulator(str(path)).Reload()
    curves = {tag: [one.value for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert not any(np.isnan(values).any() for values in curves.values())
    assert "weight" not in curves and not any(tag.startswith("iou/") for tag in curves)  # what pct alone has
    metrics = read_metrics(path)
    assert np.allclose(curves["total"], metrics["total"]) and metrics["weight"].isna().all()
    entries = list(json.loads((path / "evaluation.json").read_text(encoding="utf-8")).values())
    mious = [
        value for tag, values in curves.items() if tag.startswith("mIoU/val_HybridNet_with_tags") for value in values
    ]
    assert np.allclose(sorted(mious), sorted(entry["miou"] for entry in entries)) and len(entries) == 3
    assert len({tag for tag in curves if tag.startswith("mIoU/")}) == 3  # a curve for each way of measuring
    assert all(one.step == 4 for tag in curves if tag.startswith("mIoU/") for one in found.Scalars(tag))

    snapshots = sorted(path.glob("snapshots/*/*.png"))
    pictures = {tag: found.Images(tag) for tag in found.Tags()["images"]}
    assert len(snapshots) == 4 and sorted(pictures) == sorted({f"snapshot/{file.stem}" for file in snapshots})
    for file in snapshots:
        shown = {one.step: one for one in pictures[f"snapshot/{file.stem}"]}[int(file.parent.name)]
        pixels = np.array(Image.open(io.BytesIO(shown.encoded_image_string)))
        labels = read_labels(file)
        assert np.array_equal(pixels[:, labels.shape[1] :], voc_palette()[labels])

    kept = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = HParamsPluginData.FromString(kept).session_start_info.hparams
    assert told["iterations"].number_value == 4 and told["method"].string_value == "cce"
    assert set(told) == set(recipe.flat())
    kept = found.SummaryMetadata("_hparams_/experiment").plugin_data.content
    compared = {one.name.tag for one in HParamsPluginData.FromString(kept).experiment.metric_infos}
    assert "mIoU/val_HybridNet_with_tags" in compared & set(curves)


def test_mlflow_takes_a_run_as_the_documentation_says(run, tmp_path):
    path, recipe = run
    cells = json.loads((ROOT / "nbs/runs/20_run_folder.ipynb").read_text(encoding="utf-8"))["cells"]
    (code,) = re.findall(r"```python\n(.*?mlflow.*?)```", "\n".join("".join(cell["source"]) for cell in cells), re.S)
    code = (
        code.replace("sys.argv[1]", repr(str(path)))
        + """
one = mlflow.search_runs(experiment_names=["swsss"], output_format="list")[0]
print(json.dumps([one.info.run_name, one.data.params, one.data.metrics]))
"""
    )
    name, params, metrics = elsewhere("mlflow", code, tmp_path)
    assert (name, params) == ("run", {field: str(value) for field, value in recipe.flat().items()})
    assert np.isclose(metrics["total"], read_metrics(path)["total"].iloc[-1]) and "weight" not in metrics
    mious = sorted(value for name, value in metrics.items() if name.startswith("mIoU of HybridNet"))
    entries = json.loads((path / "evaluation.json").read_text(encoding="utf-8")).values()
    assert np.allclose(mious, sorted(entry["miou"] for entry in entries))
