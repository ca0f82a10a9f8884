"""How the job of a node runs, as the operational tags of the node say it:

    TAGS "run_after=upstream&job_seconds_max=600"

A TAGS line below NODE is the one place that the official client takes for words it does not know: it sends them along
with the node. A TAGS line above the first NODE it drops.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import NamedTuple

from birdhouse.language.cron import ONCE
from birdhouse.language.datafile.model import Node, NodeKind, PipeDefinition

UPSTREAM = "upstream"
SHARDS_MAX = 1000
NEAR_ENOUGH = 0.8

_BOTH = (NodeKind.COPY, NodeKind.SINK)
_ANY_JOB = (*_BOTH, NodeKind.MATERIALIZED)
_COPY = (NodeKind.COPY,)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a node says about its job. None and False stand for what it does not say."""

    run_after_upstream: bool = False
    """It starts when the copies that write what it reads have succeeded."""
    run_behind: tuple[str, ...] = ()
    """Names of copy pipes it does not wait for: it reads what their last run wrote."""
    job_seconds_max: float | None = None
    job_memory_bytes_max: int | None = None
    shard_key: str | None = None
    """An expression over the columns of the result; rows with equal values are computed together."""
    shards: int = 1
    refuse_empty: bool = False


class OptionProblem(NamedTuple):
    message: str
    hint: str


def run_options(node: Node) -> RunOptions:
    """What cannot be read counts as not said; a push refuses it."""
    tags = {name: value for name, value in node.tags.items() if name in OPTIONS and OPTIONS[name].takes(value)}
    return RunOptions(
        run_after_upstream=tags.get("run_after") == UPSTREAM,
        run_behind=tuple(tags.get("run_behind", "").split()),
        job_seconds_max=float(tags["job_seconds_max"]) if "job_seconds_max" in tags else None,
        job_memory_bytes_max=int(tags["job_memory_bytes_max"]) if "job_memory_bytes_max" in tags else None,
        shard_key=tags.get("shard_key"),
        shards=int(tags["shards"]) if "shard_key" in tags and "shards" in tags else 1,
        refuse_empty=tags.get("refuse_empty") == "true",
    )


def node_problems(node: Node) -> Iterator[OptionProblem]:
    for name, value in node.tags.items():
        option = OPTIONS.get(name)
        if option is None:
            near = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=NEAR_ENOUGH)
            if near:
                yield OptionProblem(f"The tag '{name}' has no effect", f"Did you mean {near[0]}?")
        elif node.kind not in option.kinds:
            kinds = " or ".join(f"TYPE {kind}" for kind in option.kinds)
            yield OptionProblem(f"{name} needs {kinds}, and node '{node.name}' is {node.kind}", "Remove the tag.")
        elif not option.takes(value):
            yield OptionProblem(f"{name} cannot be '{value}'", f"Write {option.form}.")
    if ("shard_key" in node.tags) != ("shards" in node.tags):
        yield OptionProblem("shard_key and shards belong together", "Write shard_key=user_id&shards=10.")
    if "run_after" in node.tags and node.schedule == ONCE:
        yield OptionProblem(f"run_after and {ONCE} do not go together", "Remove the schedule or the tag.")
    if "run_behind" in node.tags and "run_after" not in node.tags:
        yield OptionProblem("run_behind without run_after has no effect", f"Add run_after={UPSTREAM}.")


def pipe_problems(pipe: PipeDefinition) -> Iterator[OptionProblem]:
    for name in pipe.options:
        if name in OPTIONS:
            hint = "Move its TAGS line below the NODE: the official client does not send it from there."
            yield OptionProblem(f"{name} stands above the first NODE", hint)


class _Option(NamedTuple):
    kinds: Collection[NodeKind]
    takes: Callable[[str], bool]
    form: str


def _is_whole_number(text: str, most: float = float("inf")) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18 and 0 < int(text) <= most


def _is_seconds(text: str) -> bool:
    try:
        return isfinite(float(text)) and float(text) > 0
    except ValueError:
        return False


OPTIONS: Mapping[str, _Option] = MappingProxyType(
    {
        "run_after": _Option(_BOTH, lambda text: text == UPSTREAM, f"run_after={UPSTREAM}"),
        "run_behind": _Option(_BOTH, lambda text: bool(text.split()), "names of copy pipes with blanks between"),
        "job_seconds_max": _Option(_ANY_JOB, _is_seconds, "a number of seconds"),
        "job_memory_bytes_max": _Option(_ANY_JOB, _is_whole_number, "a whole number of bytes"),
        "shard_key": _Option(_COPY, lambda text: bool(text.strip()), "an expression over the columns of the result"),
        "shards": _Option(
            _COPY, lambda text: _is_whole_number(text, SHARDS_MAX), f"a whole number from 1 to {SHARDS_MAX}"
        ),
        "refuse_empty": _Option(_COPY, lambda text: text in ("true", "false"), "true or false"),
    }
)
