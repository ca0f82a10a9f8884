"""What a node becomes: one SELECT over physical tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from workspaces import EVENTS, pipe, workspace_of

from birdhouse.errors import SqlError, TemplateError
from birdhouse.query.compose import Composer

FILES = {
    "events.datasource": EVENTS,
    "recent.pipe": pipe("SELECT * FROM events WHERE ts > now() - 60"),
    "by_user.pipe": "NODE base\nSQL >\n    SELECT * FROM recent\n\n"
    "NODE main\nSQL >\n    %\n    SELECT user, count() c FROM base WHERE user = {{String(user, 'a')}} GROUP BY user\n",
    "fast.pipe": pipe("%\n    {{max_threads(3)}}\n    SELECT 1 AS x"),
    "timed.pipe": pipe("%\n    SELECT {{String(job_timestamp)}} AS at"),
    "misfits.pipe": pipe("SELECT c__error FROM events_quarantine"),
}


def composed(name: str, parameters: dict[str, str] | None = None, **options: object) -> str:
    workspace = workspace_of(FILES)
    return Composer(workspace, parameters or {}, **options).pipe(workspace.pipe(name)).sql  # type: ignore[arg-type]


def test_nodes_and_pipes_are_inlined_down_to_the_table() -> None:
    workspace = workspace_of(FILES)
    table = workspace.datasource("events").table
    sql = composed("by_user", {"user": "it's"})
    assert table.table not in sql  # another workspace value has other ids
    own = Composer(workspace, {"user": "it's"}).pipe(workspace.pipe("by_user")).sql
    assert f"{table.database}.{table.table}" in own
    assert "FROM recent" not in own
    assert "FROM base" not in own
    assert "'it\\'s'" in own


def test_the_quarantine_table_has_a_name_of_its_own() -> None:
    workspace = workspace_of(FILES)
    sql = Composer(workspace, {}).pipe(workspace.pipe("misfits")).sql
    assert workspace.datasource("events").quarantine.table in sql


def test_hints_of_templates_come_out() -> None:
    workspace = workspace_of(FILES)
    assert Composer(workspace, {}).pipe(workspace.pipe("fast")).max_threads == 3


def test_sql_that_depends_on_the_time_is_not_repeatable() -> None:
    workspace = workspace_of(FILES)
    assert not Composer(workspace, {}).pipe(workspace.pipe("timed")).is_repeatable
    assert Composer(workspace, {"job_timestamp": "x"}).pipe(workspace.pipe("timed")).is_repeatable


@pytest.mark.parametrize("name", ["by_user", "recent"])
def test_a_row_filter_reaches_a_data_source_however_deep(name: str) -> None:
    sql = composed(name, filters={"events": "user = 'me'"})
    assert "WHERE user = 'me'" in sql


def test_a_filter_on_a_pipe_holds_for_its_result() -> None:
    sql = composed("by_user", filters={"by_user": "c > 1"})
    assert sql.rstrip().endswith("WHERE c > 1")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM evnts", "Resource 'evnts' not found. Did you mean 'events'?"),
        ("SELECT * FROM system.users", "The table system.users cannot be read."),
        (
            "SELECT * FROM other.events",
            "Resource 'other.events' not found. Did you mean 'events'? One of the workspace 'other' "
            "can be read once it is shared: tb datasource share events local.",
        ),
        ("SELECT * FROM file('/etc/passwd')", None),
        ("SELECT * FROM url('http://127.0.0.1/')", None),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", None),
        ("SELECT 1 SETTINGS max_threads = 64", "SETTINGS cannot be used in a query."),
        ("INSERT INTO events SELECT 1", None),
        ("SELECT 1; SELECT 2", None),
    ],
)
def test_a_select_from_outside_reads_only_the_workspace(sql: str, message: str | None) -> None:
    with pytest.raises(SqlError) as caught:
        Composer(workspace_of(FILES), {}).select(sql)
    if message is not None:
        assert str(caught.value) == message


def test_values_that_stand_for_names_are_resolved_like_any_name() -> None:
    workspace = workspace_of({"events.datasource": EVENTS})
    with pytest.raises(SqlError, match="cannot be read"):
        Composer(workspace, {"which": "system.users"}).select("%SELECT 1 FROM {{table(which)}}")
    with pytest.raises(SqlError):
        Composer(workspace, {"which": "file('/etc/passwd')"}).select("%SELECT 1 FROM {{table(which)}}")


def test_underscore_is_the_result_of_the_pipe() -> None:
    workspace = workspace_of(FILES)
    sql = Composer(workspace, {}).select("SELECT count() FROM _", result_of=workspace.pipe("fast")).sql
    assert "SELECT 1 AS x" in sql


def test_a_template_error_names_its_node() -> None:
    workspace = workspace_of({"p.pipe": pipe("%\n    SELECT {{Int32(n)}} AS n")})
    with pytest.raises(TemplateError) as caught:
        Composer(workspace, {"n": "abc"}).pipe(workspace.pipe("p"))
    assert caught.value.message == "Template Syntax Error: Error validating 'abc' to type Int32"


SECRET = "%\n    SELECT count() AS n FROM events WHERE user != {{tb_secret('k')}}"


def test_a_secret_is_a_bound_value_under_a_name_of_its_own() -> None:
    workspace = replace(workspace_of({**FILES, "hidden.pipe": pipe(SECRET)}), variables={"k": "hush"})
    first, second = (Composer(workspace, {}).pipe(workspace.pipe("hidden")) for _ in range(2))
    for each in (first, second):
        ((name, value),) = each.query_parameters.items()
        assert value == "hush" and name != "k" and f"{{{name}:String}}" in each.sql.replace(" ", "")
        assert "hush" not in each.sql
    assert first.query_parameters.keys() != second.query_parameters.keys()


def test_a_caller_has_no_secrets_unless_they_are_given() -> None:
    workspace = replace(workspace_of({**FILES, "hidden.pipe": pipe(SECRET)}), variables={"k": "hush"})
    sql = "%SELECT length({{tb_secret('k')}}) AS n"
    with pytest.raises(TemplateError, match="Cannot access secret 'k'"):
        Composer(workspace, {}).select(sql)
    assert "hush" in Composer(workspace, {}, secrets=workspace.variables).select(sql).query_parameters.values()
    beside = Composer(workspace, {}).select("SELECT n, {k: String} AS stolen FROM hidden")
    assert "k" not in beside.query_parameters and list(beside.query_parameters.values()) == ["hush"]


@pytest.mark.parametrize("check", [False, True])
def test_a_missing_secret_is_told(check: bool) -> None:
    with pytest.raises(TemplateError, match="Cannot access secret 'k'"):
        workspace = workspace_of({**FILES, "hidden.pipe": pipe(SECRET)})
        Composer(workspace, {}, check=check).pipe(workspace.pipe("hidden"))
