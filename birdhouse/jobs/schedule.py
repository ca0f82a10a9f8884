"""What the datafiles of a workspace say about when its copies and sinks run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import structlog

from birdhouse.catalog.lineage import copies_feeding, find_cycle
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import InvalidInput
from birdhouse.jobs import store
from birdhouse.jobs.rounds import Member, Progress
from birdhouse.language.cron import ONCE, cron
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.datafile.run_options import run_options

log = structlog.get_logger(__name__)

RUN_BY_THEMSELVES = (NodeKind.COPY, NodeKind.SINK)


def members_of(workspace: Workspace) -> tuple[Member, ...]:
    """The pipes that run by themselves, and the copies run by hand that one of those waits for."""
    found: dict[str, Member] = {}
    feeding: dict[str, Pipe] = {}
    for pipe in workspace.pipes():
        if pipe.kind in RUN_BY_THEMSELVES:
            above = waited_for(workspace, pipe)
            feeding |= {each.id: each for each in above}
            member = _member(pipe, above)
            if member.waits or pipe.output.schedule is not None:
                found[pipe.id] = member
    return (*found.values(), *(_member(pipe, ()) for pipe in feeding.values() if pipe.id not in found))


def waited_for(workspace: Workspace, pipe: Pipe) -> tuple[Pipe, ...]:
    """The copies that have to succeed before the pipe starts. It never waits for itself: it reads its last result."""
    options = run_options(pipe.output)
    if not options.run_after_upstream:
        return ()
    left_out = {pipe.name, *options.run_behind}
    return tuple(each for each in copies_feeding(workspace, pipe) if each.name not in left_out)


def waiting_cycle(workspace: Workspace) -> tuple[str, ...] | None:
    """Pipes that would wait for each other for ever, as `("a", "b", "a")`."""
    edges = {
        pipe.name: [each.name for each in waited_for(workspace, pipe)]
        for pipe in workspace.pipes()
        if pipe.kind in RUN_BY_THEMSELVES
    }
    return find_cycle(edges)


def written(pipe: Pipe) -> str:
    """The schedule as the datafile has it, to tell whether it has been changed."""
    return f"{pipe.output.schedule or ''} {'after' if run_options(pipe.output).run_after_upstream else ''}".strip()


def pause_all(transaction: store.Transaction, workspace: Workspace, at: datetime) -> None:
    """For a workspace that is there for the first time: nothing runs by itself before somebody resumes it."""
    for pipe in scheduled(workspace):
        store.save_progress(transaction, pipe.id, Progress(at, is_paused=True, written=written(pipe)))


def scheduled(workspace: Workspace) -> list[Pipe]:
    """The pipes that say when they run."""
    return [pipe for pipe in workspace.pipes() if pipe.kind in RUN_BY_THEMSELVES and written(pipe)]


def _member(pipe: Pipe, above: Iterable[Pipe]) -> Member:
    return Member(
        id=pipe.id,
        name=pipe.name,
        cron=_ticks(pipe),
        waits=run_options(pipe.output).run_after_upstream,
        upstream=tuple(each.id for each in above),
    )


def _ticks(pipe: Pipe) -> str | None:
    text = pipe.output.schedule
    if text in (None, ONCE):
        return None
    try:
        return cron(text).text
    except InvalidInput as error:  # kept by a version that took it
        log.warning("schedule_not_followed", pipe=pipe.name, error=str(error))
        return None
