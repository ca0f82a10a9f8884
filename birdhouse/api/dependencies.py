"""`/v0/dependencies`: which pipes each data source feeds."""

from __future__ import annotations

import json
from collections.abc import Iterable

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.catalog import lineage
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.types import Query, quote_string
from birdhouse.errors import InvalidParameter, SqlError
from birdhouse.ingest.replace import targets_below


async def index(call: Call) -> Response:
    """The pipes each data source feeds; `datasource`, `pipe` and `match`, a regular expression, narrow it down.

    With `check_for_partial_replace` and a `datasource`: the data sources that views fill from it, each with their
    pipes. They follow when some of its rows are replaced; those with another partition key cannot: incompatible.
    """
    require(call.grants.may_read_all())
    workspace = call.workspace
    name = call.text("datasource")
    if name and call.flag("check_for_partial_replace"):
        both = await targets_below(call.parts.engine, workspace, workspace.datasource(name).table)
        compatible, incompatible = ({workspace.name_of(table): pipes for table, pipes in each.items()} for each in both)
        return json_response({"dependencies": compatible, "incompatible_datasources": incompatible})
    found = _readers(workspace, await _chosen(call, workspace), recursive=call.flag("recursive"))
    if pipe := call.text("pipe"):
        wanted = workspace.pipe(pipe).name
        found = {each: [wanted] for each, pipes in found.items() if wanted in pipes}
    if call.flag("no_deps"):
        found = {each: pipes for each, pipes in found.items() if not pipes}
    return json_response({"dependencies": found, "incompatible_datasources": {}})


async def _chosen(call: Call, workspace: Workspace) -> list[DataSource]:
    if name := call.text("datasource"):
        return [workspace.datasource(name)]
    found = sorted(workspace.datasources(), key=lambda each: each.name)
    pattern = call.text("match")
    if not pattern:
        return found
    # The engine's expressions take a time that grows with the text; Python's can be made to run for ever.
    names = ", ".join(quote_string(each.name) for each in found)
    query = Query(f"SELECT arrayMap(name -> match(name, {{pattern:String}}), [{names}])", "TSV", {"pattern": pattern})
    try:
        answer = await call.parts.engine.select(query)
    except SqlError as error:
        raise InvalidParameter("'match' is not a regular expression", detail=f"({pattern[:100]})") from error
    matches = json.loads(answer.body)
    return [each for each, is_match in zip(found, matches, strict=True) if is_match]


def _readers(workspace: Workspace, datasources: Iterable[DataSource], *, recursive: bool) -> dict[str, list[str]]:
    reading = lineage.dependents if recursive else lineage.readers
    return {each.name: [pipe.name for pipe in reading(workspace, each.name)] for each in datasources}
