"Labelling and training from Python, as `help(swsss)` and `help(net)` say."

import io
import pydoc
import re
import textwrap

import numpy as np
import pytest
import torch
from data_folder import CLASSES, make_folder
from matplotlib.figure import Figure
from PIL import Image

import swsss
from swsss.method.model import DeepLabV3Plus, save_checkpoint
from swsss.method.predict import Predictor
from swsss.photos.images import read_image, read_labels, voc_palette
from swsss.photos.new_photos import PhotoFolder


@pytest.fixture
def net(tmp_path):
    "A network that never learned, of a checkpoint; it is as decided as one that did."
    torch.manual_seed(0)
    network = DeepLabV3Plus(3, "test_resnet", "none", channels=8, longest_side=64, refine=True)
    network.classifier.weight.data *= 300
    save_checkpoint(network, tmp_path / "mine/hybrid.safetensors", classes=CLASSES)
    return swsss.load(tmp_path / "mine/hybrid.safetensors")


@pytest.fixture
def photo(tmp_path):
    "A photo as a phone held upright stores it."
    turned, path = Image.Exif(), tmp_path / "photo.jpg"
    turned[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (40, 53, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, exif=turned)
    return path


def test_a_path_an_array_and_pillow_are_one_photo(net, photo):
    labels = net.labels(photo)
    assert labels.shape == (53, 40) and labels.dtype == np.uint8
    for other in (str(photo), read_image(photo), Image.open(photo)):
        assert (net.labels(other) == labels).all()
    assert (net.predict(str(photo)).argmax(0) == labels).mean() > 0.99


def test_what_is_no_photo_is_refused_by_name(net, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no photo .*nowhere\.jpg"):
        net.labels(tmp_path / "nowhere.jpg")
    with pytest.raises(ValueError, match="is a folder: labels_of_folder"):
        net.labels(tmp_path)
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(ValueError, match=r"text\.jpg cannot be read as an image"):
        net.overlay(tmp_path / "text.jpg")


def test_overlay_and_show(net, photo):
    pixels, labels = read_image(photo), net.labels(photo, ["disc"])
    drawn = net.overlay(photo, ["disc"], opacity=1)
    assert drawn.shape == pixels.shape and drawn.dtype == np.uint8
    assert (drawn == np.where(labels[..., None] > 0, voc_palette()[labels], pixels)).all()
    assert (net.overlay(photo, opacity=0) == pixels).all()
    figure = net.show(photo, ["disc"])
    assert isinstance(figure, Figure)
    told = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert told == {CLASSES[c] for c in np.unique(labels) if c}


def test_a_folder_of_photos(net, photo, tmp_path):
    "In folders within it too, within the tags of a tags.csv; a photo that cannot be read is warned of and left out."
    (tmp_path / "new/deeper").mkdir(parents=True)
    for name in ("a", "deeper/b"):
        (tmp_path / f"new/{name}.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "new/bad.jpg").write_bytes(b"no photo")
    (tmp_path / "new/tags.csv").write_text("image,tags\na,square\n", encoding="utf-8")
    with pytest.warns(UserWarning, match=r"bad\.jpg cannot be read as an image.*; it has no label"):
        found = dict(net.labels_of_folder(tmp_path / "new"))
    assert list(found) == ["a", "deeper/b"]
    assert (found["a"] == net.labels(photo, ["square"])).all() and (found["deeper/b"] == net.labels(photo)).all()
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        net.labels_of_folder(tmp_path / "nowhere")  # at once, not at the first photo


def test_no_tags_and_unknown_tags(net, photo):
    assert (net.labels(photo, tags=[]) == 0).all()
    assert len(np.unique(net.labels(photo, tags=None))) > 1
    with pytest.raises(ValueError, match=r"'sqare' is not a class.*background, disc, square.*Did you mean square\?"):
        net.labels(photo, tags=["disc", "sqare"])


def test_refinement_is_chosen_by_call(net, photo):
    "None does as the network has it, and no call changes the network."
    on, off = (net.predict(photo, refine=refine) for refine in (True, False))
    assert np.abs(on - off).max() > 0.05
    assert (net.predict(photo) == on).all()
    net.network.refine = False
    assert (net.predict(photo) == off).all() and (net.predict(photo, refine=True) == on).all()


def test_repr_says_what_it_is(net, tmp_path):
    text = repr(net)
    for part in (
        *CLASSES,
        "3 classes",
        "test_resnet",
        "64 pixels",
        "refined",
        str(tmp_path / "mine/hybrid.safetensors"),
    ):
        assert part in text


def test_help_says_what_tags_scales_and_refine_mean():
    "In plain words, None and [] apart; of the face, how to label a folder."
    told = re.sub(r"[\s|]+", " ", pydoc.plain(pydoc.render_doc(Predictor)))
    for part in (
        "[]: the photo shows none of the classes",
        "None, the default: the tags are not known",
        "(1.0,), or",
    ):
        assert part in told
    assert "own colours and edges" in told and "labels_of_folder" in told
    assert "net.labels_of_folder(" in pydoc.plain(pydoc.render_doc(swsss))


def examples():
    "The code in the docstring of the package: a block that labels, and one that trains."
    blocks = re.findall(r"(?m)(?:^    .*\n)+", swsss.__doc__)
    return [textwrap.dedent(block) for block in blocks if "swsss." in block]


def test_the_examples_of_the_docstring(tmp_path, photo, monkeypatch):
    "Three lines train on a folder of one's own; the others label with what was trained."
    label, train = examples()
    assert len(train.strip().splitlines()) == 3
    folder = make_folder(tmp_path / "photos")
    (tmp_path / "new_photos").mkdir()
    (tmp_path / "new_photos/p.jpg").write_bytes(photo.read_bytes())
    short = {"channels": 8, "crop": 16, "num_strong": 2, "num_weak": 2, "iterations": 3, "snapshots": 0, "workers": 0}
    quick = swsss.Recipe.demo(**short)
    monkeypatch.setattr(swsss.Recipe, "small", lambda: quick)  # which takes half an hour
    monkeypatch.chdir(tmp_path)
    exec(train, {"swsss": swsss})
    names = {"swsss": swsss}
    exec(label.replace("dog", "disc"), names)
    assert names["net"].classes == list(folder.classes) and names["picture"].shape == (53, 40, 3)
    assert set(np.unique(read_labels(tmp_path / "out/p.png"))) <= {0, 1, 2}
    assert (read_labels(tmp_path / "out/p.png") == names["net"].labels("new_photos/p.jpg")).all()
    assert PhotoFolder("new_photos", CLASSES).names == ["p"]


def test_a_figure_shows_every_name_letter_by_letter():
    network = DeepLabV3Plus(2, "test_resnet", "none", channels=8).eval()
    network.classifier.bias.data.copy_(torch.tensor([-50.0, 50.0]))
    figure = Predictor(network, ["background", "5 $ to 6 $^"]).show(np.zeros((32, 32, 3), np.uint8))
    figure.savefig(io.BytesIO(), format="png")  # a formula that is none would raise an error here
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"5 \$ to 6 \$^"]
