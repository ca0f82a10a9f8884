"""What a folder or a server has, in a form in which the two can be compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from birdhouse.cli.project import load_project
from birdhouse.client import Client
from birdhouse.errors import BirdhouseError, DatafileError, DeploymentRefused
from birdhouse.language.datafile.format import format_datafile
from birdhouse.language.datafile.model import (
    DataSourceDefinition,
    Definition,
    Node,
    NodeKind,
    PipeDefinition,
    TokenDefinition,
    TokenScope,
)
from birdhouse.language.datafile.parse import examine, parse_datafile

REQUESTS_AT_A_TIME = 8
ON_DEMAND = "@on-demand"
PERSONAL_SCOPES = ("ADMIN", "ADMIN_USER")
"""Tokens with one of these belong to people, and differ from server to server."""


@dataclass(frozen=True)
class Said:
    """A resource: its definition, or its text where that cannot be read; and what no datafile says about it."""

    definition: Definition | None
    raw: str = ""
    state: tuple[str, ...] = ()

    def is_same(self, other: Said) -> bool:
        if self.definition is None or other.definition is None:
            return self.text == other.text
        mine, others = _comparable(self.definition, other.definition), _comparable(other.definition, self.definition)
        return self.state == other.state and (mine == others or _text(mine) == _text(others))

    @cached_property
    def text(self) -> str:
        """Canonical, with the state as comments."""
        text = self.raw if self.definition is None else _text(self.definition)
        return "".join(f"# {line}\n" for line in self.state) + text


Resources = Mapping[str, Said]
"""By path: `pipes/top.pipe`, `datasources/events.datasource`, `tokens/app.token`."""


def of_folder(folder: Path) -> Resources:
    """Raises DeploymentRefused with everything that cannot be read."""
    project = load_project(folder)
    wrong: list[BirdhouseError] = list(project.unreadable.values())
    found: dict[str, Said] = {}
    scopes: dict[str, dict[TokenScope, None]] = {}
    for path, text in project.files.items():
        definition, problems = examine(text, path, env=os.environ)
        wrong += problems
        if isinstance(definition, TokenDefinition):
            scopes.setdefault(definition.name, {}).update(dict.fromkeys(definition.scopes))
        elif definition is not None:
            found[_path(definition)] = Said(_normal(definition), state=_expected_state(definition))
            for grant in definition.tokens:
                scopes.setdefault(grant.name, {})[_scope(definition, grant.permission)] = None
    if wrong:
        raise DeploymentRefused(wrong)
    return {**found, **{_token_path(name): _token(name, each) for name, each in scopes.items()}}


def of_server(client: Client, progress: Callable[[int, int], None] = lambda done, total: None) -> Resources:
    """What the token may see. Tokens are left out when it may not see those."""
    sources = [name for each in client.datasources() if "." not in (name := str(each["name"]))]
    pipes = {str(each["name"]): each for each in client.pipes()}
    wanted = [("datasources", name) for name in sources] + [("pipes", name) for name in pipes]

    def text(kind_and_name: tuple[str, str]) -> str:
        return client.datafile(*kind_and_name)

    found: dict[str, Said] = {}
    with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as pool:
        for (kind, name), each in zip(wanted, pool.map(text, wanted), strict=True):
            path = f"{kind}/{name}.{kind.removesuffix('s')}"
            state = _state(pipes[name]) if kind == "pipes" else ()
            found[path] = Said(_definition(each, path), each, state)
            progress(len(found), len(wanted))
    return {**found, **_tokens(client)}


def only_declared(server: Resources, folder: Resources) -> Resources:
    """The server as far as a folder speaks of it: tokens that the folder does not declare are nobody's business.

    A deployment takes no scope away, so of the others only the declared scopes are looked at.
    """
    kept: dict[str, Said] = {}
    for path, said in server.items():
        if not path.startswith("tokens/"):
            kept[path] = said
        elif (declared := folder.get(path)) and isinstance(said.definition, TokenDefinition):
            wanted = _as_set(declared.definition)
            kept[path] = _token(said.definition.name, (each for each in said.definition.scopes if each in wanted))
    return kept


def _as_set(definition: Definition | None) -> frozenset[TokenScope]:
    return frozenset(definition.scopes) if isinstance(definition, TokenDefinition) else frozenset()


def _definition(text: str, path: str) -> Definition | None:
    try:
        return _normal(parse_datafile(text, file=path))
    except DatafileError:
        return None


def _path(definition: DataSourceDefinition | PipeDefinition) -> str:
    kind = "datasource" if isinstance(definition, DataSourceDefinition) else "pipe"
    return f"{kind}s/{definition.resource_name}.{kind}"


def _normal(definition: Definition) -> Definition:
    """One way to say what can be said in several. Tokens are compared by themselves."""
    if isinstance(definition, TokenDefinition):
        return definition
    name = definition.resource_name
    if isinstance(definition, DataSourceDefinition):
        return replace(definition, name=name, version=None, tokens=())
    nodes = tuple(_normal_node(node) for node in definition.nodes)
    return replace(definition, name=name, version=None, tokens=(), nodes=nodes)


def _normal_node(node: Node) -> Node:
    """Which node is published is part of the state: most datafiles do not say it."""
    if node.kind is NodeKind.ENDPOINT:
        return replace(node, kind=NodeKind.STANDARD)
    if node.kind is NodeKind.COPY:
        return replace(node, copy_mode=node.copy_mode or "append", copy_schedule=node.copy_schedule or ON_DEMAND)
    return node


def _comparable(definition: Definition, other: Definition) -> Definition:
    """Where one side names no engine, any will do."""
    if isinstance(definition, DataSourceDefinition) and isinstance(other, DataSourceDefinition) and not other.engine:
        return replace(definition, engine=None)
    return definition


def _text(definition: Definition) -> str:
    # Loading the formatter takes a third of a second, and is not needed where nothing differs.
    from birdhouse.language.sql.layout import laid_out

    return format_datafile(definition, format_sql=laid_out)


def _expected_state(definition: Definition) -> tuple[str, ...]:
    """What a deployment makes of it: the last node of a pipe without TYPE is its endpoint."""
    if not isinstance(definition, PipeDefinition):
        return ()
    output = definition.output
    if output is None or output.kind is NodeKind.ENDPOINT:
        return (f"endpoint: {(output or definition.nodes[-1]).name}",)
    return ()


def _state(pipe: Mapping[str, Any]) -> tuple[str, ...]:
    state = []
    if pipe.get("type") in ("endpoint", "default"):
        names = {node.get("id"): node.get("name") for node in pipe.get("nodes", ())}
        state.append(f"endpoint: {names.get(pipe.get('endpoint')) or 'none'}")
    schedule = pipe.get("schedule") or {}
    if schedule.get("cron") and schedule.get("status", "running") != "running":
        state.append(f"schedule: {schedule['status']}")
    return tuple(state)


def _tokens(client: Client) -> Resources:
    found = {}
    for token in client.tokens():
        scopes = [_scope_of(each) for each in token.get("scopes", ())]
        if not any(scope.type in PERSONAL_SCOPES for scope in scopes):
            found[_token_path(token["name"])] = _token(token["name"], scopes)
    return found


def _scope_of(scope: Mapping[str, str]) -> TokenScope:
    return TokenScope(scope["type"], scope.get("resource"), scope.get("filter"))


def _scope(definition: DataSourceDefinition | PipeDefinition, permission: str) -> TokenScope:
    area = "DATASOURCES" if isinstance(definition, DataSourceDefinition) else "PIPES"
    return TokenScope(f"{area}:{permission}", definition.resource_name)


def _token_path(name: str) -> str:
    return f"tokens/{name}.token"


def _token(name: str, scopes: Iterable[TokenScope]) -> Said:
    in_order = sorted(set(scopes), key=lambda each: (each.type, each.resource or "", each.filter or ""))
    return Said(TokenDefinition(name, tuple(in_order)))
