"A notebook of nbs/ run by papermill, as a user runs it."

import json
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent


def run_notebook_command(notebook, out, **parameters):
    "Run a notebook: whether it ended well, and what it printed or raised."
    command = [sys.executable, "-m", "papermill", ROOT / f"nbs/{notebook}.ipynb", out, "--no-progress-bar"]
    done = subprocess.run([*command, "-y", json.dumps(parameters)], cwd=ROOT, capture_output=True, text=True)
    outputs = [output for cell in nbformat.read(out, 4).cells for output in cell.get("outputs", [])]
    return done.returncode == 0, "".join(output.get("text", "") or output.get("evalue", "") for output in outputs)
