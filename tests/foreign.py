"Files of other tools for tests: what they may hold, and a child process that reads them and may die of it."

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

fuzzed = settings(  # FUZZ_CASES=4000 tries more, and others each time
    max_examples=int(os.environ.get("FUZZ_CASES", "300")),
    deadline=None,
    derandomize="FUZZ_CASES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

fuzzed_little = settings(fuzzed, max_examples=int(os.environ.get("FUZZ_CASES", "50")))

READER = """
import json, resource, sys
from swsss.photos.read_exports import open_export
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[1]), resource.RLIM_INFINITY))
for line in sys.stdin:
    path, classes = json.loads(line)
    try:
        with open_export(path, tuple(classes)) as labels:
            answer = ["labels", {name: read().sum().item() for name, read in labels.items()}]
    except BaseException as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)
"""


class Reader:
    "A child process that reads exports, with so much memory beyond what it needs for itself."

    def __init__(self, memory=2**29):
        self.memory, self.process = memory, None

    def read(self, path, classes):
        "Kind and text of what came of it; a child that died is an error."
        if self.process is None or self.process.poll() is not None:
            command = [sys.executable, "-c", READER, str(self.memory)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write(json.dumps([str(path), list(classes)]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process died with {self.process.wait()} of {path}"
        return json.loads(line)

    def refuses(self, path, classes, *says):
        "One sentence that names the file."
        kind, text = self.read(path, classes)
        assert kind == "ValueError" and Path(path).name in text and "\n" not in text, (kind, text)
        assert len(text) < 1000 and all(word in text for word in says), text

    def reads_or_refuses(self, path, classes):
        "Labels, or one sentence."
        if self.read(path, classes)[0] != "labels":
            self.refuses(path, classes)

    def stop(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def write(path, content):
    "JSON as a tool would write it, NaN and all."
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


NASTY = [None, True, False, 0, -1, 1.5, "0", "", "x", 10**9, 10**30, 1e308, -1e9, float("nan"), float("inf")]
NASTY += [[], {}, [[]], [None], [[None]], {"": None}, [10**9] * 6, [[float("nan")] * 6], "\ud800", "x" * 5000, "../a"]


def places(content, at=()):
    "The places of all values in JSON."
    yield at
    children = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in children:
        yield from places(value, (*at, key))


@st.composite
def mutations(draw, content):
    "A few values swapped, nulled, made huge, taken out or doubled."
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from([place for place in places(content) if place] or [()]))
        if not at:
            return content
        holder = content
        for key in at[:-1]:
            holder = holder[key]
        how = draw(st.sampled_from(["swap", "swap", "out", "double"]))
        if how == "out":
            del holder[at[-1]]
        elif how == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[at[-1]]))
        else:
            holder[at[-1]] = copy.deepcopy(draw(st.sampled_from(NASTY)))
    return content
