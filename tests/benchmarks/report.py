"""What every benchmark shares: conditions, alternated repetitions, medians, and the closing lines."""

from __future__ import annotations

import os
import platform
import resource
import time
from collections.abc import Callable
from importlib import metadata
from statistics import median


def conditions(*libraries: str) -> str:
    """What the figures depend on: processor, cores, load and versions."""
    names = [line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.processor()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in libraries)
    return (
        f"{processor}, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {versions}"
    )


def peak_memory() -> int:
    """The highest memory of this process in MiB. (`getrusage` would count the parent's, from before the exec.)"""
    found = [line for line in _read("/proc/self/status").splitlines() if line.startswith("VmHWM")]
    if found:
        return int(found[0].split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def alternated(ours: Callable[[], object], peer: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Median seconds of both, taken in turns, so that other work on the machine meets both alike."""
    taken: tuple[list[float], list[float]] = ([], [])
    for repetition in range(repetitions):
        pair = [(ours, taken[0]), (peer, taken[1])]
        for work, seconds in pair if repetition % 2 == 0 else reversed(pair):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return median(taken[0]), median(taken[1])


def closing_line(name: str, ratio: float, ours: str, peer: str) -> str:
    """One result; a bigger ratio is better for us."""
    return f"{name}: {ratio:.2f}x ({ours} against {peer})"
