"""Memory of the system's processes, children included."""

from collections.abc import Mapping

import psutil


def memory_mb(pids: Mapping[str, int]) -> Mapping[str, float]:
    """Megabytes by name. Pages that processes share are split among them (PSS), so that sums are true.

    Where the kernel does not tell, resident memory stands in.
    """
    return {name: _with_children(pid) / 1_000_000 for name, pid in pids.items()}


def _with_children(pid: int) -> float:
    try:
        process = psutil.Process(pid)
        return sum(_own(each) for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0.0


def _own(process: psutil.Process) -> float:
    try:
        return float(getattr(process.memory_full_info(), "pss", 0)) or float(process.memory_info().rss)
    except psutil.AccessDenied:
        return float(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0.0
