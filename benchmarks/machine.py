"""The machine that a figure is true for."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def describe() -> str:
    """`2 cores AMD EPYC, 24 GiB, CPython 3.11.8, chdb 4.4.0`."""
    memory_gib = psutil.virtual_memory().total / 2**30
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{psutil.cpu_count()} cores {_cpu_model()}, {memory_gib:.0f} GiB, {python}, chdb {version('chdb')}"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
