"""Finds the node that made a query fail, so that the error can name it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.errors import SqlError
from birdhouse.query.compose import Composer

_TABLE = re.compile(r"(?:`?\w+`?\.)?`?\b(t_[0-9a-f]{32})(_quarantine)?`?(?: AS (`[^`]*`|\w+))?")
"""A physical table in a message of the engine, with the alias that it was given."""


def in_known_names(message: str, workspace: Workspace) -> str:
    """A message of the engine with the names of data sources where it tells those of tables."""

    def name(match: re.Match[str]) -> str:
        found = workspace.by_id.get(match[1])
        return match[3] or (f"{found.name}{match[2] or ''}" if found else match[0])

    return _TABLE.sub(name, message)


async def located(
    engine: Engine,
    workspace: Workspace,
    pipe: Pipe | None,
    parameters: Mapping[str, str],
    services: Callable[[], Workspace | None],
    error: SqlError,
) -> SqlError:
    """The same error in the words of the workspace, with the node in its detail: the first that fails by itself.

    Nodes are only analysed, not run; when none fails that way, the data did, and the output node is named.
    """
    error.message = in_known_names(error.message, workspace)
    if pipe is None or error.detail:
        return error
    for each, node_name in _nodes_in_order(workspace, pipe):
        node = each.definition.node(node_name)
        if node is None:
            continue
        try:
            composed = Composer(workspace, parameters, services=services()).node(each, node)
            await engine.select(Query(f"DESCRIBE TABLE (\n{composed.sql}\n)", "Null", composed.query_parameters))
        except SqlError as failure:
            line = line_of_word(node.sql, failure.quoted_word)
            error.detail = f"(in node '{node_name}' of pipe '{each.name}'{f', line {line}' if line else ''})"
            return error
    error.detail = f"(in node '{pipe.output.name}' of pipe '{pipe.name}')"
    return error


def _nodes_in_order(workspace: Workspace, pipe: Pipe) -> list[tuple[Pipe, str]]:
    """The nodes that the pipe's output depends on, sources first, across pipes."""
    found: dict[tuple[str, str], tuple[Pipe, str]] = {}

    def visit(each: Pipe, node_name: str) -> None:
        node = each.definition.node(node_name)
        if node is None or (each.name, node_name) in found:
            return
        for name in sorted(lineage.references(node.sql)):
            other = workspace.resources.get(name)
            if each.definition.node(name) is not None and name != node_name:
                visit(each, name)
            elif isinstance(other, Pipe) and other.name != each.name:
                visit(other, other.output.name)
        found[(each.name, node_name)] = (each, node_name)

    visit(pipe, pipe.output.name)
    return list(found.values())


def line_of_word(sql: str, word: str) -> int:
    """The line of the node's text where `word` first stands, from 1; 0 when it does not."""
    lines = sql.splitlines()
    return next((number for number, line in enumerate(lines, 1) if word and word in line), 0)
