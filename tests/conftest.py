"Fixtures that several test files share."

import os
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: tests run side by side

import pytest
from data_folder import make_folder
from run_folder import list_events, results, train

from swsss.photos.demo import draw_demo

pytest.register_assert_rewrite("browser", "installed")


def pytest_collection_modifyitems(items):
    "Tests that use a browser have a mark: CI runs them one at a time, the others side by side."
    for item in items:
        if "browser" in item.fixturenames:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    "A small demo folder, not to be changed."
    return draw_demo(tmp_path_factory.mktemp("demo") / "scenes", strong=12, weak=12, val=2)


@pytest.fixture
def root(tmp_path, monkeypatch):
    "A made-up data folder in VOC's layout, and a check cache of its own."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_folder(tmp_path / "voc").root


@pytest.fixture(scope="session")
def whole(demo, tmp_path_factory):
    "By the number of workers: what a run never interrupted ends with, and what it did to its files, in order."
    runs = {}

    def get(workers):
        if workers not in runs:
            run = tmp_path_factory.mktemp("whole") / "run"
            code, text = train(demo, run, partial(list_events, run), workers=workers)
            assert code == 0, text
            runs[workers] = results(run), run.with_suffix(".events").read_text().splitlines()
        return runs[workers]

    return get
