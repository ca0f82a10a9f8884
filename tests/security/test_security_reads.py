"""What a token may not read stays unread, whatever way it is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from flows.flow_server import Server
from hidden_rows import HIDDEN, VISITS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdhouse.access import jwt

TENANT_A = "tenant = 'a'"
GENERATED_CASES = 1_000


@pytest.fixture(scope="module")
def some_visits(server: Server) -> str:
    return server.token("some_visits", f"DATASOURCES:READ:visits:{TENANT_A}")


@pytest.fixture(scope="module")
def some_of_the_result(server: Server) -> str:
    return server.token("some_of_the_result", f"PIPES:READ:all_visits:{TENANT_A}")


VISIBLE = [
    "SELECT note FROM visits",
    "SELECT id, note FROM visits AS passwords",
    "SELECT a.note FROM visits a JOIN visits b ON a.id + 1 = b.id OR a.id = b.id",
    "WITH hidden AS (SELECT * FROM visits) SELECT note FROM hidden",
    "WITH visits AS (SELECT * FROM visits) SELECT note FROM visits",
    "SELECT (SELECT groupArray(note) FROM visits)",
    "SELECT note FROM visits WHERE id IN (SELECT id FROM visits)",
    "SELECT 'b' AS tenant, note FROM visits WHERE tenant = 'b'",
    "WITH tenant = 'b' AS tenant SELECT note FROM visits",
    "SELECT * REPLACE ('b' AS tenant) FROM visits",
    "SELECT COLUMNS('note') FROM visits ARRAY JOIN [1, 2] AS twice",
    "SELECT lagInFrame(note) OVER (ORDER BY id) FROM visits",
    "(SELECT note FROM visits) UNION ALL (SELECT note FROM visits)",
    "SELECT note FROM visits LIMIT 1 BY note",
    "SELECT note FROM visits FINAL",
    "SELECT visits.* FROM visits final",
    "SELECT a.note FROM visits AS a FINAL JOIN visits FINAL ON a.id = visits.id OR visits.id > 0",
    "SELECT note FROM visits AS final, (SELECT 1) AS one",
    "SELECT note FROM visits WHERE id IN (SELECT id FROM visits FINAL) OR note IN (SELECT note FROM visits)",
    "WITH `final` AS (SELECT * FROM visits FINAL) SELECT note, 'visits FINAL' FROM `final`",
    "SELECT `x y`.note FROM visits AS `x y` FINAL",
    # An expression over hidden rows would fail and tell of them: only those of the filter reach it.
    "SELECT id FROM visits WHERE toUInt32(note) < 100",
    f"SELECT count() FROM visits WHERE throwIf(note = '{HIDDEN}') = 0",
    "SELECT count() FROM visits GROUP BY toUInt32(note)",
]


@pytest.mark.parametrize("sql", VISIBLE)
def test_a_filter_holds_in_every_place_of_a_query(server: Server, some_visits: str, sql: str) -> None:
    answer = server.get("/v0/sql", params={"q": f"{sql} FORMAT JSON"}, token=some_visits)
    assert answer.status_code == 200, answer.text
    assert HIDDEN not in answer.text


REFUSED = [
    "SELECT * FROM visits_quarantine",
    "SELECT * FROM passwords",
    "SELECT * FROM (WITH passwords AS (SELECT 1) SELECT * FROM passwords) AS a, passwords",
    "WITH passwords AS (SELECT * FROM passwords) SELECT * FROM passwords",
    "SELECT note FROM visits UNION ALL SELECT password FROM passwords",
    "SELECT note FROM visits WHERE id IN passwords",
    "SELECT in(1, passwords)",
    "SELECT 1 WHERE 1 GLOBAL IN passwords",
    "SELECT exists(SELECT 1 FROM passwords)",
    "DESCRIBE passwords",
    "SELECT * FROM misfits",
    "SELECT * FROM all_visits",
    "SELECT * FROM tinybird.pipe_stats_rt",
    "SELECT * FROM tinybird.jobs_log",
    "SELECT * FROM organization.pipe_stats_rt",
    "SELECT 1 WHERE 'x' IN (SELECT name FROM organization.workspaces)",
    "%\nSELECT * FROM {{ table('organization.workspaces') }}",
    "SELECT * FROM system.tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM merge('.*')",
    "SELECT * FROM merge('w_.*', '.*')",
    "SELECT * FROM remote('127.0.0.1', 'system.tables')",
    "SELECT * FROM cluster('default', system.tables)",
    "SELECT * FROM viewIfPermitted(SELECT 1 AS x ELSE null('x UInt8'))",
    "SELECT * FROM view(SELECT * FROM passwords)",
    "SELECT * FROM loop(passwords)",
    "SELECT * FROM format(LineAsString, 'x')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')",
    "SELECT 1 INTO OUTFILE 'x'",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 FORMAT JSON SETTINGS readonly = 0",
    "SELECT * FROM {x:Identifier}",
    "SELECT dictGet('a', 'b', 1)",
    "SELECT joinGet('passwords', 'password', 1)",
    "SELECT hasColumnInTable('system', 'tables', 'name')",
    "SELECT currentDatabase(), hostName()",
    "SELECT 1; SELECT 2",
    "%\nSELECT * FROM {{ table('passwords') }}",
    "%\nSELECT * FROM {{ symbol('passwords', '') }}",
    "EXPLAIN SELECT * FROM passwords",
    "SHOW TABLES",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_nothing_else_can_be_read(server: Server, some_visits: str, sql: str) -> None:
    for answer in (
        server.get("/v0/sql", params={"q": sql}, token=some_visits),
        server.post("/v0/sql", content=sql, token=some_visits),
    ):
        assert answer.status_code in (400, 403), answer.text
        assert HIDDEN not in answer.text


@pytest.mark.parametrize("name", ["raw", "result", "all_visits", "_"])
def test_the_filter_of_a_pipe_holds_for_its_nodes(server: Server, some_of_the_result: str, name: str) -> None:
    sql = f"SELECT * FROM {name}"
    for path, parameters in (("/v0/pipes/all_visits.json", {}), ("/v0/sql", {"pipeline": "all_visits"})):
        answer = server.get(path, params={"q": sql, **parameters}, token=some_of_the_result)
        assert answer.status_code == (403 if name == "raw" else 200), answer.text
        assert HIDDEN not in answer.text


def test_quarantined_rows_are_not_read_through_a_pipe_either(server: Server) -> None:
    token = server.token("some_misfits", f"DATASOURCES:READ:visits:{TENANT_A}", "PIPES:READ:misfits")
    answer = server.get("/v0/pipes/misfits.json", token=token)
    assert answer.status_code == 403
    assert HIDDEN in server.get("/v0/pipes/misfits.json").text


def test_what_one_token_was_answered_is_not_answered_to_another(server: Server) -> None:
    path, parameters = "/v0/pipes/all_visits.json", {"q": "SELECT password FROM passwords"}
    assert HIDDEN in server.get(path, params=parameters).text
    token = server.token("reads_a_pipe", "PIPES:READ:all_visits")
    assert server.get(path, params=parameters, token=token).status_code == 403


def signed(server: Server, *scopes: dict[str, Any]) -> str:
    """A JWT as another program would make it."""
    workspace_id = server.get("/v0/workspace").json()["id"]
    return jwt.create(workspace_id, "signed", int(time.time()) + 600, scopes, server.admin_token)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/v0/pipes/visits_of.json", {}),
        ("/v0/pipes/visits_of.csv", {"q": "SELECT * FROM _"}),
        ("/v0/pipes/visits_of.json", {"q": "SELECT * FROM visits_of"}),
        ("/v0/pipes/visits_of.json", {"q": "SELECT * FROM chosen"}),
        ("/v0/pipes/all_visits.json", {"q": "SELECT * FROM visits_of"}),
        ("/v0/sql", {"q": "SELECT * FROM visits_of"}),
        ("/v0/sql", {"q": "SELECT * FROM _", "pipeline": "visits_of"}),
        ("/v0/sql", {"q": "SELECT * FROM chosen", "pipeline": "visits_of"}),
        ("/v0/sql", {"q": "%\nSELECT * FROM {{ table('visits_of') }}"}),
    ],
)
def test_a_fixed_parameter_cannot_be_changed(server: Server, path: str, parameters: dict[str, str]) -> None:
    fixed = {"type": "PIPES:READ", "resource": "visits_of", "fixed_params": {"tenant": "a"}}
    token = signed(server, fixed, {"type": "PIPES:READ", "resource": "all_visits"})
    asked = [*parameters.items(), ("tenant", "b")]
    for answer in (
        server.request("GET", path, params=asked, token=token),
        server.request("GET", path, params=[*asked, ("tenant", "b")], token=token),
        server.request("POST", path, params=asked, data={**parameters, "tenant": "b"}, token=token),
        server.request("POST", path, params=asked, json={**parameters, "tenant": ["b"]}, token=token),
    ):
        assert answer.status_code in (200, 400), answer.text
        assert HIDDEN not in answer.text


def test_pipes_fixed_to_different_values_cannot_be_read_together(server: Server) -> None:
    scopes = [
        {"type": "PIPES:READ", "resource": name, "fixed_params": {"tenant": tenant}}
        for name, tenant in (("visits_of", "a"), ("all_visits", "b"))
    ]
    answer = server.get("/v0/sql", params={"q": "SELECT 1 FROM visits_of, all_visits"}, token=signed(server, *scopes))
    assert answer.status_code == 403
    assert "different values" in answer.json()["error"]


def test_the_token_of_the_query_counts_alone(server: Server) -> None:
    weak = server.token("weak", "PIPES:READ:all_visits")
    answer = server.get("/v0/sql", params={"q": "SELECT * FROM passwords", "token": weak})
    assert answer.status_code == 403


def test_a_remembered_jwt_ends_in_time(server: Server) -> None:
    workspace_id = server.get("/v0/workspace").json()["id"]
    scope = {"type": "PIPES:READ", "resource": "all_visits"}
    token = jwt.create(workspace_id, "short", int(time.time()) + 2, [scope], server.admin_token)
    assert server.get("/v0/pipes/all_visits.json", token=token).status_code == 200
    time.sleep(2)
    assert server.get("/v0/pipes/all_visits.json", token=token).status_code == 403


Condition = tuple[str, Callable[[dict[str, Any]], bool]]
"""A filter as SQL, and as we understand it."""

conditions: st.SearchStrategy[Condition] = st.recursive(
    st.one_of(
        st.integers(-1, 41).map(lambda n: (f"id > {n}", lambda row: row["id"] > n)),
        st.integers(1, 5).map(lambda n: (f"id % {n} = 0", lambda row: row["id"] % n == 0)),
        st.sampled_from("abc").map(lambda t: (f"tenant = '{t}'", lambda row: row["tenant"] == t)),
        st.just((f"note != '{HIDDEN}' -- harmless", lambda row: row["note"] != HIDDEN)),
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"NOT ({one[0]}\n)", lambda row: not one[1](row))),
        st.tuples(inner, inner).map(
            lambda two: (f"{two[0][0]}\n OR ({two[1][0]}\n)", lambda row: two[0][1](row) or two[1][1](row))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]}\n) AND ({two[1][0]}\n)", lambda row: two[0][1](row) and two[1][1](row))
        ),
    ),
    max_leaves=4,
)

sources: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(
        [
            "visits",
            "`visits`",
            "all_visits",
            "visits /* {{ x }} */",
            "(SELECT * FROM visits FINAL)",
            "(SELECT w.* FROM visits AS w FINAL)",
            "(SELECT visits.* FROM visits final)",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(
            st.sampled_from(
                [
                    "(SELECT * FROM {0})",
                    "(SELECT * FROM {0} AS passwords WHERE tenant = 'b' OR 1)",
                    "(SELECT DISTINCT * FROM {0} ORDER BY id LIMIT 50)",
                    "(WITH visits AS (SELECT * FROM {0}) SELECT * FROM visits)",
                    "(WITH inner AS (SELECT * FROM {0}) SELECT * FROM inner UNION ALL SELECT * FROM visits)",
                    "(SELECT * FROM visits WHERE id IN (SELECT id FROM {0}))",
                    "(SELECT * REPLACE ('b' AS tenant) FROM {0})",
                    "(SELECT id, any(tenant) AS tenant, any(note) AS note FROM {0} GROUP BY id)",
                ]
            ),
            inner,
        ).map(lambda pair: pair[0].format(pair[1])),
        st.tuples(inner, inner).map(
            lambda two: f"(SELECT a.* FROM {two[0]} AS a LEFT JOIN {two[1]} AS b ON a.id = b.id)"
        ),
        st.tuples(inner, inner).map(lambda two: f"(SELECT * FROM {two[0]} UNION ALL SELECT * FROM {two[1]})"),
    ),
    max_leaves=4,
)


@settings(max_examples=GENERATED_CASES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(condition=conditions, source=sources)
def test_no_row_outside_of_a_filter_is_visible(server: Server, condition: Condition, source: str) -> None:
    sql, holds = condition
    token = signed(
        server,
        {"type": "DATASOURCES:READ", "resource": "visits", "filter": sql},
        {"type": "PIPES:READ", "resource": "all_visits"},
    )
    answer = server.get("/v0/sql", params={"q": f"SELECT id FROM {source} FORMAT JSON"}, token=token)
    assert answer.status_code == 200, answer.text
    if answer.status_code == 200:
        allowed = {row["id"] for row in VISITS if holds(row)}
        assert {row["id"] for row in answer.json()["data"]} <= allowed
