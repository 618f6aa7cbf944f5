"The CSVs of what was measured can be read as numbers, and what notebooks keep in git stays small."

import json
import re

import pandas as pd
import pytest

from swsss.photos.files import project_path

RESULTS = project_path("nbs/results")
MIOU = ["with", "with_prior", "without", "without_classifier"]
MIOU += ["with_refinement", "without_refinement"]


def cells_of(name):
    "The cells of a notebook."
    return json.loads(project_path(f"nbs/{name}.ipynb").read_text(encoding="utf-8"))["cells"]


def text_table(name):
    "A CSV with every cell as it is written."
    return pd.read_csv(RESULTS / name, dtype=str, keep_default_na=False)


def test_every_run_says_what_it_learned_from_and_what_it_reached():
    runs = text_table("runs.csv")
    assert len(runs) > 150 and not runs.drop(columns="note").duplicated().any()
    assert runs["split"].str.fullmatch(r"\d+(@\d)?").all() and runs["run"].str.len().gt(0).all()
    assert runs["by"].isin(["product", "research code"]).all()
    reached = runs[MIOU].apply(pd.to_numeric)
    assert reached.notna().any(axis=1).all() and reached.stack().dropna().between(0, 100).all()
    assert pd.to_numeric(runs["seconds"]).dropna().gt(0).all()
    fields = runs["fields"].str.split().explode().dropna()
    assert fields.str.fullmatch(r"[a-z_]+=[\w.+]+").all()


def test_refinement_is_named_where_a_number_has_it():
    runs = text_table("runs.csv")
    refined = runs["with_refinement"].str.cat(runs["without_refinement"]) != ""
    assert (refined == (runs["refinement"] != "")).all()


@pytest.mark.parametrize(("part", "column"), [("with tags", "with"), ("without tags", "without")])
def test_readmes_table_is_the_mean_of_the_runs(part, column):
    table = next(
        "".join(output["text"])
        for cell in cells_of("results")
        if "print(readme_table" in "".join(cell["source"])
        for output in cell["outputs"]
    )
    lines = [line.strip("| \n").split("|") for line in table.splitlines() if line]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    study = pd.read_csv(RESULTS / "ccp-study.csv")
    means = study.groupby(["masks", "method"])[f"{column} refinement"].mean()
    shown = [(int(row[0]), float(re.match(r"[\d.]+", row[head.index(part)])[0])) for row in rows]
    assert len(shown) == 6
    for masks, value in shown:
        assert any(abs(value - mean) < 0.0501 for mean in means[masks]), (masks, value)


def test_what_notebooks_keep_is_small():
    sizes = {path.name: path.stat().st_size for path in project_path("nbs").rglob("*.ipynb")}
    assert len(sizes) > 40 and not [name for name, size in sizes.items() if size > 200_000]


def test_the_method_on_one_page_keeps_a_picture_of_each_step():
    titles, pictures = [], {}
    for cell in cells_of("self_training"):
        source = "".join(cell["source"])
        titles += re.findall(r"^## (\d)\. ", source, re.M)
        for output in cell.get("outputs", []):
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                pictures.setdefault(titles[-1] if titles else "0", []).append(source)
    assert titles == list("12345") and {"1", "2", "3", "5"} <= pictures.keys()
