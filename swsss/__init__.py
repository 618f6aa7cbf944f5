"""Learn pseudo labels from a few masks and many tags.

Label photos with a network that was trained; a photo is a path, a NumPy array or a Pillow image:

    net = swsss.load("runs/mine")                            # a run folder, or a checkpoint; print(net) says what it is
    labels = net.labels("photo.jpg", tags=["dog"])           # (H, W) uint8, indices of net.classes; tags=None: any class
    picture = net.overlay("photo.jpg", tags=["dog"])         # (H, W, 3) uint8; net.show(...) is a figure with a legend
    net.export("net.onnx")                                   # for programs without swsss; needs swsss[onnx]
    for name, labels in net.labels_of_folder("new_photos"):  # a tags.csv in the folder, image,tags a row, is heeded
        swsss.write_labels(f"out/{name}.png", labels)

`help(net)` says what tags, scales and refine do. Train on a folder of your own: photos, masks of some of them as
SegmentationClass/NAME.png, a tags.csv for the others, and classes.txt, a class a line, background first. What is wrong with
it, `swsss check FOLDER` or `folder.check()` lists.

    folder = swsss.VOCFolder("photos")
    strong = swsss.read_split(folder, "all")                 # the photos whose masks are used: all of them, 92, "92@0"
    swsss.train(swsss.Recipe.small(), folder.with_labels(None, keep=strong), strong, "runs/mine")

The same from a terminal, step by step: `swsss --help`.

What you need to train and label, in `swsss` itself:

    load(run or checkpoint)             a trained network: .classes .labels .predict .overlay .show .labels_of_folder .export
    VOCFolder(root)                     photos, masks and tags: .names .image(name) .labels(name) .tags(name) .check()
    open_folder(path), read_split(folder, split)
    Recipe.small(lr=1e-3)               everything that decides a run; also .paper(), .modern(), .demo()
    train(recipe, folder, strong, run)  one run folder, stage 1 or stage 2
    write_labels(path, labels)          a label map as a palette PNG

and the pieces for research of your own:

    class_aware_log_softmax(logits, tags)                (N, C, H, W), -inf for classes that an image does not have
    class_aware_cross_entropy(logits, labels, tags)      cross entropy over an image's own classes
    tag_loss(logits, tags)                               multi-label loss of the max-pooled logits
    pct_losses(hybrid_logits, pseudo_logits, ...)        progressive cross training, the losses of one step
    DynamicEvaluation(num_classes)                       running IoU of each class: .update .class_iou .weight
    DeepLabV3Plus(num_classes, backbone)                 DeepLabV3+ on a timm backbone
    DPT(num_classes, backbone)                           DPT on a plain transformer of timm
    predict(model, image, tags, scales, flip)            (C, H, W) probabilities, several scales
    confusion_matrix(prediction, labels, num_classes), iou(confusion)
"""

from importlib import import_module

__version__ = "0.3.0"

_HOME = {  # name: its module, imported when the name is first used, since PyTorch takes seconds
    "VOCFolder": "photos.folder",
    "open_folder": "photos.folder",
    "read_split": "photos.folder",
    "write_labels": "photos.images",
    "Recipe": "method.recipe",
    "train": "runs.training",
    "load": "runs.run_folder",
    "class_aware_cross_entropy": "method.loss",
    "class_aware_log_softmax": "method.loss",
    "tag_loss": "method.loss",
    "pct_losses": "method.pct",
    "DynamicEvaluation": "method.evaluate",
    "DeepLabV3Plus": "method.model",
    "DPT": "method.model",
    "predict": "method.predict",
    "confusion_matrix": "method.evaluate",
    "iou": "method.evaluate",
}
__all__ = list(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module 'swsss' has no attribute {name!r}")
    return getattr(import_module(f"swsss.{_HOME[name]}"), name)


def __dir__():
    return [*__all__, "__version__"]
