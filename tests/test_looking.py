"The explore notebooks run through papermill, with nobody there: pictures and sentences in place of widgets."

import json
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
from PIL import Image

from swsss.explorer.results import draw_results
from swsss.photos.folder import VOCFolder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def drawn(demo, tmp_path_factory):
    "A made-up run, with what file managers leave in folders."
    folder = VOCFolder(demo)
    results = draw_results(tmp_path_factory.mktemp("looking") / "made-up", folder, folder.names[:24])
    for place in [results.labels, results.run / "snapshots/000390", results.run / "snapshots/000000"]:
        for stray in ["._x.png", f"._{folder.names[5]}.png", "notes.png", "Thumbs.db"]:
            (place / stray).write_bytes(b"stray")
    return results


def is_clear(output):
    "Whether the corners of a picture are transparent, so that it suits a dark page, too."
    picture = Image.open(BytesIO(b64decode(output["data"]["image/png"]))).convert("RGBA")
    corners = [picture.getpixel((x, y))[3] for x in (0, picture.width - 1) for y in (0, picture.height - 1)]
    return not any(corners)


def text_of(notebook, tmp_path, **parameters):
    "All that a notebook says, and how many pictures it shows."
    done = papermill.execute_notebook(
        ROOT / "nbs" / notebook, tmp_path / notebook, parameters, progress_bar=False, log_output=False, cwd=ROOT
    )
    outputs = [output for cell in done.cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") or str(output.get("data", {}).get("text/plain", "")) for output in outputs]
    pictures = [o for o in outputs if any("image" in kind for kind in o.get("data", {}))]
    assert all(map(is_clear, pictures))
    return "\n".join(texts), len(pictures)


def test_labels(drawn, tmp_path):
    text, pictures = text_of("explore_pseudo_labels.ipynb", tmp_path, labels=str(drawn.labels))
    assert "Explorer of 24 labels" in text and "rank correlation" in text
    assert pictures == 3, "the worst and the best page, and the curve of the order"


def test_learning_of_a_method_that_weighs(drawn, tmp_path):
    text, pictures = text_of("explore_dynamic_evaluation.ipynb", tmp_path, run=str(drawn.run))
    assert "has no weights" not in text
    assert pictures == 3, "curves, snapshots and weights"


@pytest.mark.parametrize("method", ["ce", "cce+tags"])
def test_learning_of_a_method_that_weighs_nothing(drawn, tmp_path, method):
    run = draw_results(tmp_path / "run", drawn.folder, drawn.folder.names[:8]).run
    (run / "recipe.json").write_text(json.dumps({"recipe": {"method": method, "split": 4}}), encoding="utf-8")
    pd.read_csv(run / "metrics.csv").assign(weight=np.nan).to_csv(run / "metrics.csv", index=False)
    text, pictures = text_of("explore_dynamic_evaluation.ipynb", tmp_path, run=str(run))
    assert "has no weights" in text
    assert pictures == 2, "curves and snapshots, no weights"
