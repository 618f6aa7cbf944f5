"The peak of a process's memory, for scripts that tests run in processes of their own."

import re
import resource
import sys
from pathlib import Path


def peak_memory():
    "Bytes; on Linux not by getrusage, which counts the peak of the process that started this one."
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# what such a script begins with
IMPORT_PEAK_MEMORY = (
    f"import sys; sys.path.append({str(Path(__file__).parent)!r}); from peak_memory import peak_memory\n"
)
