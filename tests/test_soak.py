"The short form of `benchmarks/soak.py`: two processes at work in one label folder, killed at random."

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parent.parent / "benchmarks" / "soak.py"


@pytest.mark.skipif(os.name == "nt", reason="ends processes by signals")
def test_what_persons_made_is_there_is_theirs_and_is_the_last():
    command = [sys.executable, SOAK, "--seconds", os.environ.get("SWSSS_SOAK", "20")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["problems"] == 0
    for what in ("kills", "save", "import", "judge", "undo", "restore", "export", "label", "kept beside"):
        assert counts[what], f"{what} never happened: nothing was tested"
