"The package's metadata lives in settings.ini; this hands it to setuptools."

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
settings = config["DEFAULT"]


def requirements(key):
    return settings[key].split()


setup(
    name=settings["lib_name"],
    version=settings["version"],
    description=settings["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=settings["author"],
    author_email=settings["author_email"],
    url=settings["git_url"],
    license="Apache-2.0",
    keywords=settings["keywords"],
    packages=[*find_packages(include=["swsss", "swsss.*"]), "swsss.notebooks"],
    package_dir={
        "swsss.notebooks": "nbs"
    },  # what people run goes along; find_notebook of photos/00_files finds it
    package_data={"swsss.explorer": ["static/*"], "swsss.notebooks": ["*.ipynb"]},
    exclude_package_data={
        "swsss.notebooks": ["index.ipynb", "promises.ipynb", "results.ipynb", "self_training.ipynb"]
    },
    python_requires=f">={settings['min_python']}",
    install_requires=requirements("requirements"),
    extras_require={
        key: requirements(f"{key}_requirements")
        for key in ["weights", "crf", "onnx", "pool", "dev"]
    },
    entry_points={
        "console_scripts": ["swsss=swsss.runs.command_line:main"],
        "nbdev": [f"{settings['lib_name']}={settings['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
