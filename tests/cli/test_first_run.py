"""The demo runs every copy of the insights project that a workspace needs at first."""

from __future__ import annotations

from pathlib import Path

from birdhouse.cli.pipeline import FIRST_RUN, NOT_AT_FIRST, members
from birdhouse.cli.project import bundled_insights, read_project
from birdhouse.language.datafile.model import NodeKind, PipeDefinition
from birdhouse.language.datafile.parse import parse_datafile


def copies() -> set[str]:
    found = set()
    for path, text in read_project(bundled_insights()).items():
        definition = parse_datafile(text, file=path)
        if isinstance(definition, PipeDefinition) and definition.output is not None:
            found |= {Path(path).stem} if definition.output.kind is NodeKind.COPY else set()
    return found


def test_each_copy_of_the_project_is_run_or_left_for_later() -> None:
    known = copies()
    run = {name for stage in FIRST_RUN for name in members(stage, known)}
    later = set(members(NOT_AT_FIRST, known))
    assert run | later == known
    assert not run & later
