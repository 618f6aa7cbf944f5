"""Learn pseudo labels from a few masks and many tags.

    net = swsss.load("runs/mine")                  # the network of a run, or of a checkpoint
    labels = net.labels(image, tags=["dog"])       # (H, W) uint8 from a NumPy or Pillow image, at its own size
"""

from importlib import import_module

__version__ = "0.2.0"

_ROOMS = {  # what a person needs: the room it lives in; loaded when it is first asked for, since PyTorch takes seconds
    "VOCFolder": "data",
    "open_folder": "data",
    "read_split": "data",
    "Recipe": "recipe",
    "train": "train",
    "load": "run",
}
__all__ = list(_ROOMS)


def __getattr__(name):
    if name not in _ROOMS:
        raise AttributeError(f"module 'swsss' has no attribute {name!r}")
    return getattr(import_module(f"swsss.{_ROOMS[name]}"), name)


def __dir__():
    return [*__all__, "__version__"]
