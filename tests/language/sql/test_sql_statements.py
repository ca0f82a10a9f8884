"""Which SELECT of a client may run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from birdhouse.errors import SqlError
from birdhouse.language.sql.size import DEPTH_MAX, SQL_BYTES_MAX
from birdhouse.language.sql.statements import check_select, selects_parameter, split_format
from birdhouse.language.sql.tables import COPY_TABLE_FUNCTIONS, TableRef

ATTACKS = [
    "select * from file('/etc/passwd', 'LineAsString')",
    "select file('/etc/passwd')",
    "select FILE('/etc/passwd')",
    "describe file('/etc/passwd')",
    "describe table a",
    "select * from url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
    "select * from s3('http://127.0.0.1:1/a', 'CSV', 'a String')",
    "select * from remote('127.0.0.1:1', 'system', 'one')",
    "select * from executable('cat /etc/passwd', 'LineAsString', 'l String')",
    "select * from Python(sys)",
    "select * from python('x')",
    "select * from mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "select * from postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "select * from sqlite('/tmp/x.db', 't')",
    "select * from input('a String')",
    "select * from merge('secret', '.*')",
    "select * from cluster('default', secret.s)",
    "select * from clusterAllReplicas('default', secret.s)",
    "select dictGet('secret.d', 'gen', toUInt64(42))",
    "select DICTGET('secret.d', 'gen', toUInt64(42))",
    "select dictGetString('secret.d', 'gen', toUInt64(42))",
    "select dictGetOrNull('secret.d', 'gen', toUInt64(42))",
    "select dictHas('secret.d', 1)",
    "select * from dictionary('secret.d')",
    "select joinGet('secret.j', 'v', 1)",
    "select joinGetOrNull('secret.j', 'v', 1)",
    "select count() from system.tables where database = 'secret'",
    "select * from system.query_log limit 1",
    "select 1 from a where x in (select name from system.tables)",
    "select 1 from a where x in system.tables",
    "select * from loop(secret.s) limit 1",
    "select * from mergeTreeIndex('secret', 's') limit 1",
    "select * from view(select * from secret.s)",
    "select * from viewExplain('EXPLAIN', '', (select 1))",
    "select * from fuzzQuery('select 1') limit 1",
    "select * from hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'a String')",
    "select * from mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'a String')",
    "select * from redis('127.0.0.1:1', 'k', 'k String')",
    "select * from fileCluster('default', '/etc/passwd', 'LineAsString')",
    "select * from deltaLake('/tmp')",
    "select catboostEvaluate('/etc/passwd', 1)",
    "select hostName()",
    "select currentUser()",
    "select addressToLine(1)",
    "select getServerSetting('path')",
    "select getMacro('x')",
    "select sleep(1)",
    "select 1 into outfile '/tmp/x'",
    "select 1 into outfile '/tmp/x' format CSV",
    "select 1 into outfile '/tmp/x' compression 'gzip'",
    "select 1 settings readonly = 0",
    "select 1 settings max_threads = 64",
    "select 1 format JSON settings max_threads = 64",
    "select * from (select 1 settings max_execution_time = 0)",
    "with x as (select 1 settings max_memory_usage = 0) select * from x",
    "(select 1 settings max_threads = 2) union all select 2",
    "select * from {t:Identifier}",
    "select {c:Identifier} from a",
    "select * from {d:Identifier}.t",
    "set readonly = 0",
    "use secret",
    "create table w.x (a Int8) engine = Memory",
    "create temporary table tt (a Int8)",
    "insert into w.t values (1)",
    "insert into w.t select 1",
    "with x as (select 1) insert into w.t select * from x",
    "insert into function file('/tmp/x', 'TSV', 'a Int8') values (1)",
    "drop table w.t",
    "alter table w.t add column z Int8",
    "truncate table w.t",
    "optimize table w.t",
    "system flush logs",
    "kill query where 1",
    "attach table w.zz",
    "backup database secret to File('/tmp/x')",
    "create function ff as (x) -> x",
    "select 1; drop table w.t",
    "select 1; select 2",
    "show tables from secret",
    "explain select * from secret.s",
    "exists secret.s",
    "select 1 parallel with select 2",
    "select * from (select 1 format CSV)",
    "1 + 1",
    "",
    "-- nothing",
    "select a\x00b",
    "\ud800",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_what_a_client_may_not_run_is_refused(sql: str) -> None:
    with pytest.raises(SqlError):
        check_select(sql)


HARMLESS = [
    "select * from numbers(3)",
    "select * from numbers_mt(3) limit 1 by number",
    "select * from system.one",
    "select name from system.functions where name like 'to%'",
    "select {n:UInt8} as n",
    "select 'SETTINGS readonly = 0 FORMAT JSON INTO OUTFILE' as text, 'dictGet' as d",
    "select `FORMAT` from a",
    "select `x\n Set` from a",
    "(select 1) union all (select 2)",
    "with (select max(x) from a) as m select m",
    "select x -> x + 1 as f, arrayMap(f, [1])",
    "select 1 -- SETTINGS max_threads = 1",
    "select 1;",
]


@pytest.mark.parametrize("sql", HARMLESS)
def test_harmless_selects_pass(sql: str) -> None:
    assert check_select(sql).format is None


def test_the_tables_to_resolve_are_named_and_harmless_system_tables_are_not_among_them() -> None:
    checked = check_select("select * from events e join other.t on 1 join system.numbers on 1 join zeros(1) on 1")
    assert checked.tables == {TableRef("", "events"), TableRef("other", "t")}
    assert checked.table_functions == {"zeros"}


def test_copy_pipes_may_read_from_outside() -> None:
    sql = "select * from s3('https://bucket/x.csv', 'CSV')"
    assert check_select(sql, functions_allowed=COPY_TABLE_FUNCTIONS).table_functions == {"s3"}
    with pytest.raises(SqlError):
        check_select("select * from S3('https://bucket/x.csv', 'CSV')", functions_allowed=COPY_TABLE_FUNCTIONS)
    with pytest.raises(SqlError):
        check_select("select * from file('/etc/passwd')", functions_allowed=COPY_TABLE_FUNCTIONS)


FORMATS = {
    "select 1 format JSON": ("SELECT 1", "JSON"),
    "select 1 format JSON; -- done": ("SELECT 1", "JSON"),
    "select 1 as format format `CSVWithNames`": ("SELECT 1 AS format", "CSVWithNames"),
    "select 1 union all select 2 format TSV": ("SELECT 1 UNION ALL SELECT 2", "TSV"),
    "select format json from a": ("SELECT format AS json FROM a", None),
    "select ' FORMAT JSON'": ("SELECT ' FORMAT JSON'", None),
    "select 1 as `x FORMAT JSON`": ("SELECT 1 AS `x FORMAT JSON`", None),
    "select 1 /* format JSON */": ("SELECT 1", None),
    "select 1 -- format JSON": ("SELECT 1", None),
}


@pytest.mark.parametrize(("sql", "expected"), FORMATS.items())
def test_the_format_is_split_off(sql: str, expected: tuple[str, str | None]) -> None:
    assert split_format(sql) == expected
    checked = check_select(sql)
    assert (checked.sql, checked.format) == expected


def test_a_made_up_line_in_the_syntax_tree_can_only_refuse() -> None:
    assert split_format("select `a\n Identifier JSON` from t") == (
        "SELECT `a\\n Identifier JSON` FROM t",
        None,
    )


DEEP = {
    "brackets": "select " + "(" * 4000 + "1" + ")" * 4000,
    "arrays": "select " + "[" * 4000 + "1" + "]" * 4000,
    "sum": "select " + "+".join(["1"] * 20000),
    "minus": "select " + "- " * 20000 + "1",
    "not": "select " + "not " * 20000 + "1",
    "calls": "select " + "abs(" * 20000 + "1" + ")" * 20000,
    "case": "select " + "case when 1 then " * 10000 + "1" + " end" * 10000,
    "cast": "select 1" + "::Int8" * 20000,
    "element": "select a" + ".1" * 20000,
    "between": "select 1" + " between 1 and 1" * 10000,
    "is null": "select 1" + " is null" * 20000,
    "hidden in a comment": "select " + "- /*,*/ " * 20000 + "1",
    "hidden in a string": "select " + "+ ','" * 20000,
    "hidden in a here-document": "select $$'$$ " + "+ 1" * 20000 + " + $$'$$",
    "hidden behind a hash": "select 1 # '\n" + "+ 1" * 20000 + " # '",
    "many WITH": "with " + ",".join(f"a{n} as (select * from a{n - 1})" for n in range(1, 4000)) + " select 1",
    "long": "select '" + "x" * SQL_BYTES_MAX + "'",
    "long in bytes": "select '" + "é" * (SQL_BYTES_MAX - 100) + "'",
}


def test_sql_that_would_end_the_parser_is_refused_before_it_gets_there() -> None:
    program = (
        "import sys, json\n"
        "from birdhouse.errors import SqlError\n"
        "from birdhouse.language.sql.statements import check_select\n"
        "for name, sql in json.load(sys.stdin).items():\n"
        "    try: check_select(sql)\n"
        "    except SqlError: continue\n"
        "    sys.exit(f'{name} passed')\n"
    )
    import json

    run = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(DEEP), capture_output=True, text=True, timeout=20
    )
    assert (run.returncode, run.stderr) == (0, "")


WIDE = {
    "list of dates": "select 1 from a where d in (" + ", ".join(["'2024-01-01'"] * 5000) + ")",
    "list of negative numbers": "select 1 from a where d in (" + ", ".join(["-1.5"] * 5000) + ")",
    "conjunction": "select 1 from a where " + " and ".join(["x = 1"] * 5000),
    "disjunction": "select 1 from a where " + " or ".join(["x = 1"] * 5000),
    "union": " union all ".join(["select 1 from a where x = 1"] * 2000),
    "columns": "select " + ", ".join(f"a.column_{n} as c{n}" for n in range(2000)) + " from a",
    "long text": "select '" + "- - " * 2000 + "'",
}


@pytest.mark.parametrize("sql", WIDE.values(), ids=WIDE.keys())
def test_wide_sql_is_not_taken_for_deep_sql(sql: str) -> None:
    assert len(sql) > DEPTH_MAX
    check_select(sql)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT {k: String}", True),
        ("SELECT 1 AS a, {k: String} AS s FROM t", True),
        ("SELECT {k: String}::String AS s FROM t", True),
        ("SELECT DISTINCT toString({k: String}) FROM t", True),
        ("WITH 1 AS a SELECT a, {k: String} FROM t", True),
        ("SELECT * FROM (SELECT {k: String} AS s) AS x", True),
        ("SELECT 1 UNION ALL SELECT {k: String}", True),
        ("SELECT (SELECT {k: String})", True),
        ("SELECT a FROM t WHERE a = {k: String}", False),
        ("SELECT decrypt('aes-256-gcm', c, {k: String}) FROM t", False),
        ("WITH {k: String} AS key SELECT decrypt('aes-256-gcm', c, key) FROM t", False),
        ("SELECT * FROM postgresql('h:1', 'd', 't', 'u', {k: String})", False),
        ("SELECT '{k: String}' AS text FROM t GROUP BY text", False),
    ],
)
def test_a_parameter_that_is_a_column_of_the_result_is_found(sql: str, shown: bool) -> None:
    assert selects_parameter(sql) is shown
