"The numbers of a replay of corrections, on a made-up run; its networks are not trained here."

from pathlib import Path

import pandas as pd
import papermill
import pytest

from swsss.explorer.results import draw_results
from swsss.photos.folder import VOCFolder
from swsss.runs.label_folder import write_corrected

ROOT = Path(__file__).parents[1]


@pytest.fixture
def made_up(demo, tmp_path):
    folder = VOCFolder(demo)
    return draw_results(tmp_path / "made-up", folder, folder.listed("trainaug"))


def replay(made_up, tmp_path, **parameters):
    "The numbers of a replay."
    parameters = {"run": str(made_up.run), "after": "3, 8", "draws": 5, **parameters}
    how = {"progress_bar": False, "log_output": False, "cwd": ROOT}
    papermill.execute_notebook(ROOT / "nbs/replay.ipynb", tmp_path / "replay.ipynb", parameters, **how)
    return pd.read_csv(made_up.run / "replay" / "replay.csv")


def test_orders_and_their_gains(made_up, tmp_path):
    numbers = replay(made_up, tmp_path)
    mean = numbers.groupby(["order", "corrected"])["labels"].mean().unstack()
    expected = ["best possible", "gain alone", "least agreement", "least confident", "random"]
    assert sorted(mean.index) == [*expected, "suggested"]
    assert mean[0].nunique() == 1 and (mean[8] > mean[3]).all() and (mean[3] > mean[0]).all()
    assert mean.loc["best possible", 8] >= mean[8].drop("best possible").max()
    assert numbers[numbers.order == "random"].draw.nunique() == 5


def test_labels_of_a_person_cannot_be_replayed(made_up, tmp_path):
    name = made_up.folder.listed("trainaug")[10]
    write_corrected(made_up.labels, [(name, made_up.folder.labels(name))])
    with pytest.raises(papermill.PapermillExecutionError, match="holds 1 corrected labels"):
        replay(made_up, tmp_path)
