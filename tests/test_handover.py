"Labels leave in other tools' formats and come back corrected, through the verb."

from functools import partial

import numpy as np
import pytest
from pycocotools.coco import COCO
from run_notebook_command import run_notebook_command

from swsss.photos.demo import draw_demo
from swsss.photos.files import write_json
from swsss.photos.folder import VOCFolder
from swsss.photos.formats import WRITERS, Labelled
from swsss.photos.images import read_labels, write_labels
from swsss.runs.label_folder import Judgements, read_corrected

export_labels = partial(run_notebook_command, "export_labels")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    "A data folder and labels of its photos, one accepted and one rejected."
    home = tmp_path_factory.mktemp("handover")
    folder = VOCFolder(draw_demo(home / "demo", strong=2, weak=3, val=1))
    names = folder.listed("trainaug")
    for name in names:
        write_labels(home / "labels" / f"{name}.png", folder.labels(name))
    write_json(home / "labels/labels.json", {"network": "hybrid", "classes": folder.classes})
    Judgements(home / "labels").update({names[0]: {"verdict": "accepted"}, names[1]: {"verdict": "rejected"}})
    return home, folder, names


def test_out_as_coco_corrected_and_in_again(home):
    home, folder, names = home
    place = {"labels": str(home / "labels"), "data": str(home / "demo")}
    done, said = export_labels(home / "1.ipynb", **place, format="coco")
    assert done, said
    out = home / "labels-usable-coco.json"
    back = f"-p labels {home / 'labels'} -p data {home / 'demo'} -p read FILE"  # as it is accepted
    assert f"4 labels (usable) in {out}" in said and back in said
    coco = COCO(out)  # as other people read it
    assert sorted(one["name"] for one in coco.imgs.values()) == sorted({*names} - {names[1]})
    for image in coco.imgs.values():
        seen = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.imgToAnns[image["id"]]:
            seen[coco.annToMask(annotation) > 0] = annotation["category_id"]
        assert np.array_equal(seen, folder.labels(image["name"]))

    corrected = np.roll(folder.labels(names[2]), 5, axis=1)
    item = Labelled(names[2], corrected, folder.image_path(names[2]), f"{names[2]}.jpg")
    WRITERS["cvat"](home / "corrected.zip", iter([item]), folder.classes)
    done, said = export_labels(home / "2.ipynb", **place, read=str(home / "corrected.zip"))
    assert done and "1 labels of " in said and "as corrected by a person" in said, said
    assert np.array_equal(read_labels(home / "labels" / f"{names[2]}.png"), corrected)
    assert read_corrected(home / "labels") == [names[2]]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"format": "via"}, "format='via': it can be 'voc', 'cvat'"),
        ({"read": "torn.json"}, "torn.json is damaged and cannot be read"),
        ({"data": ""}, "whose photos are these?"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(home, parameters, says):
    home, _, _ = home
    (home / "torn.json").write_text('{"images": [', encoding="utf-8")
    parameters = {k: str(home / v) if k == "read" else v for k, v in parameters.items()}
    done, said = export_labels(
        home / "3.ipynb", **{"labels": str(home / "labels"), "data": str(home / "demo")} | parameters
    )
    assert not done and says in said
