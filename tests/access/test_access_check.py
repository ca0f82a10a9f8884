from __future__ import annotations

from dataclasses import dataclass

import pytest

from birdhouse.access.check import ALLOWED, Allowed, Decision, Grants, Refused, require
from birdhouse.access.scopes import Scope, ScopeType, parse_scope
from birdhouse.errors import MissingScope


@dataclass(frozen=True)
class Thing:
    id: str
    name: str


EVENTS = Thing("t_events", "events")
OTHER = Thing("t_other", "other")
EP = Thing("t_ep", "ep")


def grants(*texts: str) -> Grants:
    scopes = []
    for text in texts:
        scope = parse_scope(text)
        resource_id = f"t_{scope.resource}" if scope.resource else None
        scopes.append(Scope(scope.type, scope.resource, scope.filter, resource_id=resource_id))
    return Grants("w", "id", "my token", tuple(scopes))


def jwt(*scopes: Scope) -> Grants:
    return Grants("w", "", "my jwt", scopes, expires_at=1)


def decisions(given: Grants) -> dict[str, Decision]:
    return {
        "read events": given.may_read_datasource(EVENTS),
        "append events": given.may_append(EVENTS),
        "drop events": given.may_drop_datasource(EVENTS),
        "create datasource": given.may_create_datasource(),
        "read ep": given.may_read_pipe(EP),
        "drop ep": given.may_drop_pipe(EP),
        "create pipe": given.may_create_pipe(),
        "tokens": given.may_manage_tokens(),
        "admin tokens": given.may_manage_tokens([Scope(ScopeType.ADMIN)]),
        "organization tokens": given.may_manage_tokens([Scope(ScopeType.ORG_DATASOURCES_READ)]),
        "read all": given.may_read_all(),
        "read organization": given.may_read_organization(),
        "administer": given.may_administer(),
    }


EVERYTHING_HERE = set(decisions(grants())) - {"read organization", "organization tokens"}
"""In one workspace."""


@pytest.mark.parametrize(
    ("scope", "allows"),
    [
        ("ADMIN", EVERYTHING_HERE),
        ("ADMIN_USER", EVERYTHING_HERE),
        ("TOKENS", {"tokens"}),
        ("DATASOURCES:CREATE", {"create datasource", "append events"}),
        ("DATASOURCES:APPEND:events", {"append events"}),
        ("DATASOURCES:APPEND:other", set()),
        ("DATASOURCES:DROP:events", {"drop events"}),
        ("DATASOURCES:DROP:other", set()),
        ("DATASOURCES:READ:events", {"read events"}),
        ("DATASOURCES:READ:other", set()),
        ("PIPES:CREATE", {"create pipe"}),
        ("PIPES:DROP:ep", {"drop ep"}),
        ("PIPES:READ:ep", {"read ep"}),
        ("PIPES:READ:events", set()),
        ("WORKSPACE:READ_ALL", {"read all", "read events", "read ep"}),
        ("ORG_DATASOURCES:READ", {"read organization"}),
    ],
)
def test_a_scope_allows_what_it_says_and_nothing_else(scope: str, allows: set[str]) -> None:
    answers = decisions(grants(scope))
    assert {deed for deed, decision in answers.items() if isinstance(decision, Allowed)} == allows


def test_the_token_of_a_person_may_do_everything_in_all_workspaces() -> None:
    person = Grants("w", "id", "user token", (parse_scope("ADMIN_USER"),), is_user=True)
    assert all(isinstance(decision, Allowed) for decision in decisions(person).values())


def test_a_token_without_scopes_may_do_nothing() -> None:
    assert all(isinstance(decision, Refused) for decision in decisions(grants()).values())


@pytest.mark.parametrize(
    ("scopes", "filters"),
    [
        (["DATASOURCES:READ:events"], ()),
        (["DATASOURCES:READ:events:a = 1"], ("a = 1",)),
        (["DATASOURCES:READ:events:a = 1", "DATASOURCES:READ:events:b = 2"], ("a = 1", "b = 2")),
        (["DATASOURCES:READ:events:a = 1", "DATASOURCES:READ:events"], ()),
        (["DATASOURCES:READ:events:a = 1", "DATASOURCES:READ:other"], ("a = 1",)),
        (["DATASOURCES:READ:events:a = 1", "WORKSPACE:READ_ALL"], ()),
        (["DATASOURCES:READ:events:a = 1", "ADMIN"], ()),
        (["DATASOURCES:READ:events:a = 1", "DATASOURCES:CREATE"], ("a = 1",)),
    ],
)
def test_filters_widen_each_other_and_a_scope_without_one_wins(scopes: list[str], filters: tuple[str, ...]) -> None:
    assert grants(*scopes).may_read_datasource(EVENTS) == Allowed(filters)


def test_a_scope_follows_the_resource_when_it_is_renamed_and_not_the_name() -> None:
    given = grants("DATASOURCES:READ:events")
    assert given.may_read_datasource(Thing("t_events", "renamed")) == ALLOWED
    assert isinstance(given.may_read_datasource(Thing("t_new", "events")), Refused)
    assert isinstance(given.may_read_datasource(Thing("t_new", "t_events")), Refused)


@pytest.mark.parametrize("resource", ["ep", "t_ep"])
def test_a_jwt_names_a_resource_by_name_or_id(resource: str) -> None:
    assert jwt(Scope(ScopeType.PIPES_READ, resource)).may_read_pipe(EP) == ALLOWED


def test_of_fixed_parameters_the_first_scope_wins_and_none_is_lost() -> None:
    given = jwt(
        Scope(ScopeType.PIPES_READ, "ep", fixed_params={"a": "1", "b": "1"}),
        Scope(ScopeType.PIPES_READ, "ep", fixed_params={"a": "2", "c": "2"}),
        Scope(ScopeType.PIPES_READ, "ep"),
    )
    assert given.may_read_pipe(EP) == Allowed(fixed_params={"a": "1", "b": "1", "c": "2"})


def test_a_refusal_names_the_scope_that_would_be_needed() -> None:
    with pytest.raises(MissingScope) as caught:
        require(grants("PIPES:CREATE").may_append(EVENTS))
    assert str(caught.value) == (
        "The token 'my token' may not append to the data source 'events'. It needs the scope DATASOURCES:APPEND:events."
    )
    assert require(grants("ADMIN").may_append(EVENTS)) == ALLOWED
