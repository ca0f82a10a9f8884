"""What one statement of a job may use: what the settings say, unless the pipe says something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.types import Limits
from birdhouse.errors import LimitReached, MemoryLimit, QueryTimeout
from birdhouse.language.datafile.run_options import run_options


def budget(pipe: Pipe, otherwise: Limits) -> Limits:
    options = run_options(pipe.output)
    return replace(
        otherwise,
        seconds=options.job_seconds_max or otherwise.seconds,
        memory_bytes=options.job_memory_bytes_max or otherwise.memory_bytes,
    )


def budget_of(workspace: Workspace, pipe_id: str, otherwise: Limits) -> Limits:
    """Also for a pipe that is gone by now, such as that of a job which is cleaned up."""
    pipe = workspace.by_id.get(pipe_id)
    return budget(pipe, otherwise) if isinstance(pipe, Pipe) else otherwise


@contextmanager
def within(limits: Limits, pipe: Pipe, *, is_sliceable: bool = False) -> Iterator[None]:
    """Says of a limit that the body reaches how large it is, and what can be done."""
    try:
        yield
    except (MemoryLimit, QueryTimeout) as error:
        error.hint = _advice(error, limits, pipe, is_sliceable)
        raise


def _advice(error: LimitReached, limits: Limits, pipe: Pipe, is_sliceable: bool) -> str:
    if isinstance(error, MemoryLimit):
        size, name = f"{limits.memory_bytes} bytes", "job_memory_bytes_max"
    else:
        size, name = f"{limits.seconds:g} s", "job_seconds_max"
    advice = f"A statement of '{pipe.name}' may use {size} ({name}, in the settings or as a tag of the node)."
    if not is_sliceable:
        return advice
    if run_options(pipe.output).shards > 1:
        return f"{advice} Choose more shards."
    return f"{advice} With a shard_key and shards it runs in slices that each use a part."
