from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.access.scopes import Scope, ScopeType, datafile_scope, format_scope, parse_scope
from birdhouse.errors import InvalidParameter

READ = ScopeType.DATASOURCES_READ


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("ADMIN", Scope(ScopeType.ADMIN)),
        ("admin_user", Scope(ScopeType.ADMIN_USER)),
        ("TOKENS", Scope(ScopeType.TOKENS)),
        ("DATASOURCES:CREATE", Scope(ScopeType.DATASOURCES_CREATE)),
        ("Datasources:Append:Events", Scope(ScopeType.DATASOURCES_APPEND, "Events")),
        ("DATASOURCES:DROP:events", Scope(ScopeType.DATASOURCES_DROP, "events")),
        ("DATASOURCES:READ:events", Scope(READ, "events")),
        ("DATASOURCES:READ:events:", Scope(READ, "events")),
        ("DATASOURCES:READ:events:a = 'x:y:z'", Scope(READ, "events", "a = 'x:y:z'")),
        ("DATASOURCES:READ:tinybird.pipe_stats", Scope(READ, "tinybird.pipe_stats")),
        (" pipes:read:ep:a > 1 ", Scope(ScopeType.PIPES_READ, "ep", "a > 1")),
        ("PIPES:DROP:ep", Scope(ScopeType.PIPES_DROP, "ep")),
        ("WORKSPACE:READ_ALL", Scope(ScopeType.WORKSPACE_READ_ALL)),
        ("ORG_DATASOURCES:READ", Scope(ScopeType.ORG_DATASOURCES_READ)),
    ],
)
def test_a_scope_is_read_from_its_text(text: str, scope: Scope) -> None:
    assert parse_scope(text) == scope


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a scope"),
        ("READ", "is not a scope"),
        ("DATASOURCE:READ:events", "is not a scope"),
        ("DATASOURCES:WRITE:events", "The scopes are ADMIN, "),
        ("DATASOURCES:READ", "Write DATASOURCES:READ:name_of_the_resource."),
        ("PIPES:READ::a = 1", "needs a resource"),
        ("ADMIN:events", "ADMIN takes no resource. Given: 'events'."),
        ("PIPES:CREATE:ep", "takes no resource"),
        ("DATASOURCES:APPEND:events:a = 1", "takes no filter. Given: 'a = 1'."),
    ],
)
def test_what_is_no_scope_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_scope(text)
    assert says in str(caught.value)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,20}", fullmatch=True)
filters = st.none() | st.text(min_size=1).map(str.strip).filter(bool)


@given(st.sampled_from(ScopeType), names, filters)
def test_a_scope_comes_back_from_its_text(type: ScopeType, name: str, condition: str | None) -> None:
    scope = Scope(type, name if type.names_resource else None, condition if type.takes_filter else None)
    assert parse_scope(format_scope(scope)) == scope


@pytest.mark.parametrize(
    ("area", "permission", "type"),
    [
        ("DATASOURCES", "READ", READ),
        ("DATASOURCES", "append", "DATASOURCES:APPEND"),
        ("PIPES", "Read", "PIPES:READ"),
    ],
)
def test_a_token_line_of_a_datafile_gives_a_scope(area: str, permission: str, type: str) -> None:
    assert datafile_scope(area, permission) == type


@pytest.mark.parametrize(("area", "permission"), [("PIPES", "APPEND"), ("PIPES", "CREATE"), ("DATASOURCES", "")])
def test_a_token_line_of_a_datafile_gives_nothing_beyond_the_resource(area: str, permission: str) -> None:
    with pytest.raises(InvalidParameter, match=r"Use .*READ"):
        datafile_scope(area, permission)
