"""Gives a data source another name, in one change of the catalog together with every pipe that names it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from birdhouse.catalog import lineage
from birdhouse.catalog.resources import QUARANTINE_SUFFIX, DataSource, Pipe, Resource
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy import ddl
from birdhouse.deploy.plan import AlterDataSource, Plan, SavePipe, Step
from birdhouse.errors import Conflict, NameTaken
from birdhouse.language.datafile.check import check as check_definition
from birdhouse.language.datafile.format import format_datasource, format_pipe
from birdhouse.language.datafile.model import Node
from birdhouse.language.sql.rename import rename_table
from birdhouse.query.compose import Composer


def rename_datasource(before: Workspace, datasource: DataSource, new_name: str, now: datetime) -> Plan:
    """Tables keep their opaque names, so no row and no view moves.

    Raises NameTaken, or Conflict for a pipe whose text cannot be rewritten safely.
    """
    if new_name in before.resources:
        raise NameTaken(f"There is already a resource with name '{new_name}'")
    definition = replace(datasource.definition, name=new_name, version=None)
    problems = check_definition(definition)
    if problems:
        raise problems[0]
    renamed = replace(datasource, definition=definition, text=format_datasource(definition), updated_at=now)
    pipes = [
        _following(pipe, datasource.name, new_name, now) for pipe in before.pipes() if _names(pipe, datasource.name)
    ]
    changed: list[Resource] = [renamed, *pipes]
    after = before.with_changes(changed)
    after = after.with_changes([_same_view(after, pipe) for pipe in after.pipes() if pipe.view is not None])
    steps: list[Step] = [AlterDataSource(renamed, ()), *(SavePipe(pipe, is_new=False) for pipe in pipes)]
    return Plan(before, after, tuple(steps))


def _names(pipe: Pipe, name: str) -> bool:
    return pipe.target == name or bool({name, name + QUARANTINE_SUFFIX} & lineage.sources(pipe.definition))


def _following(pipe: Pipe, old: str, new: str, now: datetime) -> Pipe:
    nodes = tuple(_node(pipe, node, old, new) for node in pipe.definition.nodes)
    definition = replace(pipe.definition, nodes=nodes)
    return replace(pipe, definition=definition, text=format_pipe(definition), updated_at=now)


def _node(pipe: Pipe, node: Node, old: str, new: str) -> Node:
    return replace(
        node,
        sql=_sql(pipe, node, old, new),
        datasource=new if node.datasource == old else node.datasource,
        target_datasource=new if node.target_datasource == old else node.target_datasource,
    )


def _sql(pipe: Pipe, node: Node, old: str, new: str) -> str:
    changes = {old: new, old + QUARANTINE_SUFFIX: new + QUARANTINE_SUFFIX}
    read = lineage.references(node.sql)
    if not read & changes.keys() or pipe.definition.node(old) is not None:
        return node.sql
    sql = node.sql
    for name, following in changes.items():
        sql = rename_table(sql, name, following)
    if lineage.references(sql) != {changes.get(name, name) for name in read}:
        raise Conflict(
            f"Node '{node.name}' of pipe '{pipe.name}' reads '{old}' in a way that cannot be rewritten safely",
            hint="Write FROM or JOIN before the name, or an alias after it, then rename again.",
        )
    return sql


def _same_view(after: Workspace, pipe: Pipe) -> Pipe:
    """Says of the view that it was made from the new text: it reads the same tables, under another alias at most."""
    assert pipe.view is not None
    target = after.resources.get(pipe.target or "")
    if pipe.view_statement is None or not isinstance(target, DataSource):
        return pipe
    sql = Composer(after, {}, check=True).pipe(pipe).sql
    return replace(pipe, view_statement=ddl.create_view(pipe.view, target.table, sql))
