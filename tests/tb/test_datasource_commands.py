"""The commands of the client about data sources and their rows."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from flows.flow_server import Server
from pyarrow import parquet
from tb_client import Tb

VISITS = """\
SCHEMA >
    `day` Date `json:$.day`,
    `n` UInt32 `json:$.n`

ENGINE "MergeTree"
ENGINE_PARTITION_KEY "toYYYYMM(day)"
ENGINE_SORTING_KEY "day"
"""
PER_DAY = "SCHEMA >\n    `day` Date,\n    `total` UInt64\n\nENGINE SummingMergeTree\nENGINE_SORTING_KEY day\n"
VIEW = "NODE days\nSQL >\n    SELECT day, sum(n) AS total FROM {} GROUP BY day\n\nTYPE materialized\nDATASOURCE {}\n"
ROWS = [{"day": "2024-01-05", "n": 1}, {"day": "2024-02-05", "n": 10}]


@pytest.fixture
def visits(tb: Tb, server: Server, request: pytest.FixtureRequest) -> str:
    """An empty data source of this test, with files of rows in the folder."""
    name = f"visits_{abs(hash(request.node.nodeid)) % 10**9}"
    tb.write({f"datasources/{name}.datasource": VISITS, "rows.ndjson": "\n".join(map(json.dumps, ROWS))})
    server.deploy({f"datasources/{name}.datasource": VISITS})
    csv = "day,n\n2024-01-05,1\n2024-02-05,10\n"
    tb.write({"rows.csv": csv})
    (tb.folder / "rows.csv.gz").write_bytes(gzip.compress(csv.encode()))
    (tb.folder / "rows.ndjson.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    table = pa.table({"day": ["2024-01-05", "2024-02-05"], "n": [1, 10]})
    parquet.write_table(table, tb.folder / "rows.parquet")
    return name


def total(server: Server, name: str) -> int:
    return int(server.sql(f"SELECT sum(n) AS n FROM {name}")[0]["n"])


@pytest.mark.parametrize("file", ["rows.csv", "rows.ndjson", "rows.parquet", "rows.csv.gz", "rows.ndjson.gz"])
def test_files_of_every_kind_are_appended(tb: Tb, server: Server, visits: str, file: str) -> None:
    output = tb("datasource", "append", visits, file)
    assert "Total rows in" in output and total(server, visits) == 11


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url(tb: Tb) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tb.folder))) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_a_url_is_appended_and_replaces(tb: Tb, server: Server, visits: str, url: str) -> None:
    tb("datasource", "append", visits, f"{url}/rows.ndjson")
    assert total(server, visits) == 11
    tb("datasource", "replace", visits, f"{url}/rows.ndjson")
    assert total(server, visits) == 11


def test_a_replace_takes_all_rows_or_those_of_a_condition(tb: Tb, server: Server, visits: str) -> None:
    tb("datasource", "append", visits, "rows.ndjson")
    tb.write({"january.ndjson": '{"day": "2024-01-07", "n": 500}'})
    tb("datasource", "replace", visits, "january.ndjson", "--sql-condition", "day < '2024-02-01'")
    assert total(server, visits) == 510
    tb("datasource", "replace", visits, "january.ndjson")
    assert total(server, visits) == 500


def test_rows_in_quarantine_are_noticed(tb: Tb, server: Server, visits: str) -> None:
    tb.write({"odd.ndjson": '{"day": "2024-01-05", "n": "many"}\n{"day": "2024-01-05", "n": 7}'})
    output = tb("datasource", "append", visits, "odd.ndjson", code=1)
    assert "1 rows in quarantine" in output and f"{visits}_quarantine" in output
    assert total(server, visits) == 7


def test_a_file_that_is_not_there_and_a_data_source_that_is_not_are_told(tb: Tb, visits: str) -> None:
    assert "No such file" in tb("datasource", "append", visits, "nothing.csv", code=1)
    assert "nowhere" in tb("datasource", "append", "nowhere", "rows.csv", code=1)


def test_rows_are_deleted_by_a_condition_after_a_look(tb: Tb, server: Server, visits: str) -> None:
    tb("datasource", "append", visits, "rows.ndjson")
    condition = ("--sql-condition", "n = 10")
    assert "1" in tb("datasource", "delete", visits, *condition, "--dry-run")
    assert total(server, visits) == 11
    tb("datasource", "delete", visits, *condition, "--yes", "--wait")
    assert total(server, visits) == 1
    refused = tb("datasource", "delete", visits, "--sql-condition", "nope = 1", "--yes", "--wait", code=1)
    assert "nope" in refused


def test_a_truncate_reaches_what_follows_when_asked(tb: Tb, server: Server, visits: str) -> None:
    server.deploy({f"{visits}_days.datasource": PER_DAY, f"{visits}_mv.pipe": VIEW.format(visits, f"{visits}_days")})
    tb("datasource", "append", visits, "rows.ndjson")
    tb("datasource", "truncate", visits, "--yes")
    assert total(server, visits) == 0
    assert server.sql(f"SELECT sum(total) AS n FROM {visits}_days") == [{"n": 11}]
    tb("datasource", "truncate", visits, "--yes", "--cascade")
    assert server.sql(f"SELECT count() AS n FROM {visits}_days") == [{"n": 0}]


def test_a_data_source_is_removed_with_the_view_on_it(tb: Tb, server: Server, visits: str) -> None:
    server.deploy({f"{visits}_days.datasource": PER_DAY, f"{visits}_mv.pipe": VIEW.format(visits, f"{visits}_days")})
    assert f"{visits}_mv" in tb("datasource", "rm", visits, typed="n\n")
    assert visits in tb("datasource", "ls")
    tb("datasource", "rm", visits, "--yes")
    assert f" {visits} " not in tb("datasource", "ls")


def test_data_sources_are_listed_by_name_and_as_json(tb: Tb, visits: str) -> None:
    tb("datasource", "append", visits, "rows.ndjson")
    assert visits in tb("datasource", "ls", "--match", "visits_.*")
    assert visits not in tb("datasource", "ls", "--match", "nothing")
    (found,) = json.loads(tb("datasource", "ls", "--match", visits, "--format", "json"))["datasources"]
    assert (found["name"], found["row_count"]) == (visits, 2)


@pytest.mark.parametrize("file", ["rows.csv", "rows.ndjson", "rows.parquet"])
def test_a_file_is_analyzed_and_becomes_a_data_source(tb: Tb, server: Server, visits: str, file: str) -> None:
    assert "day" in tb("datasource", "analyze", file)
    tb("datasource", "generate", file, "--force")
    (made,) = tb.folder.rglob("rows.datasource")
    assert "n Int16" in made.read_text("utf-8")
    assert "already exists" in tb("datasource", "generate", file)


def test_a_url_is_analyzed(tb: Tb, visits: str, url: str) -> None:
    assert "day" in tb("datasource", "analyze", f"{url}/rows.csv")


def test_two_data_sources_exchange_their_rows(tb: Tb, server: Server, visits: str) -> None:
    server.deploy({f"datasources/{visits}_b.datasource": VISITS})
    tb("datasource", "append", visits, "rows.ndjson")
    tb("datasource", "exchange", visits, f"{visits}_b", "--yes")
    assert (total(server, visits), total(server, f"{visits}_b")) == (0, 11)


def test_rows_are_copied_with_sql(tb: Tb, server: Server, visits: str) -> None:
    tb("datasource", "append", visits, "rows.ndjson")
    tb("datasource", "copy", visits, "--sql", f"SELECT day, n * 2 AS n FROM {visits}", "--wait")
    assert total(server, visits) == 33


def test_copying_from_main_is_told_to_bring_data(tb: Tb, visits: str) -> None:
    assert "main" in tb("datasource", "copy", visits, "--sql-from-main", "--wait", code=1)


def test_there_is_nothing_to_schedule_or_synchronise(tb: Tb, visits: str) -> None:
    for command in ("state", "pause", "resume"):
        outcome = tb.run("datasource", "scheduling", command, visits)
        assert outcome.output.strip(), command
    assert tb.run("datasource", "sync", visits, "--yes").code == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "visits"), (("--match", "visits_.*"), "visits"), (("--recursive",), "visits"), (("--no-deps",), "visits")],
)
def test_dependencies_are_shown_as_asked(
    tb: Tb, server: Server, visits: str, options: tuple[str, ...], said: str
) -> None:
    server.deploy({f"{visits}_t.pipe": f"NODE n\nSQL >\n    SELECT sum(n) AS n FROM {visits}\n\nTYPE ENDPOINT\n"})
    assert said in tb("dependencies", *options)
    assert visits in tb("dependencies", "--datasource", visits)
    tb("dependencies", "--pipe", f"{visits}_t")
    tb("dependencies", "--datasource", visits, "--check-for-partial-replace")


def _folder(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*.*"))


def test_a_project_is_begun_with_folders(tb: Tb) -> None:
    tb("init", "--folder", ".", "--ignore-remote")
    assert (tb.folder / "datasources").is_dir() and (tb.folder / "pipes").is_dir()
    tb.write({"sample.csv": "a,b\n1,x\n"})
    tb("init", "--generate-datasources", "--force", "--ignore-remote")
    assert any("sample.datasource" in each for each in _folder(tb.folder))


def test_pipes_are_written_by_hand_and_checked(tb: Tb, visits: str) -> None:
    tb("pipe", "generate", "made", f"SELECT sum(n) AS n FROM {visits}", "--force")
    (made,) = tb.folder.rglob("made.pipe")
    assert "sum(n)" in made.read_text("utf-8")
    tb("check", str(made.relative_to(tb.folder)))
    tb("check", "--debug")
    made.write_text("NODE n\nSQEL >\n    SELECT 1\n", "utf-8")
    assert tb.run("check", str(made.relative_to(tb.folder))).code == 1


def test_nodes_are_added_and_endpoints_set(tb: Tb, server: Server, visits: str) -> None:
    pipe = f"{visits}_p"
    server.deploy({f"{pipe}.pipe": f"NODE first\nSQL >\n    SELECT n FROM {visits}\n"})
    tb.write({"query.sql": f"SELECT sum(n) AS n FROM {visits}"})
    tb("pipe", "append", pipe, f"SELECT max(n) AS n FROM {visits}")
    nodes = server.get(f"/v0/pipes/{pipe}").json()["nodes"]
    assert len(nodes) == 2
    tb("pipe", "set_endpoint", pipe, nodes[1]["id"])
    assert server.get(f"/v0/pipes/{pipe}.json").status_code == 200
    tb("pipe", "unpublish", pipe)
    tb("pipe", "publish", pipe, nodes[0]["id"])
    assert server.get(f"/v0/pipes/{pipe}").json()["endpoint"] == nodes[0]["id"]
    found = json.loads(tb("pipe", "ls", "--match", pipe, "--format", "json"))["pipes"]
    assert [each["name"] for each in found] == [pipe]
    tb("pipe", "stats", "--format", "json")


def test_what_asks_nothing_of_the_server_works(tb: Tb, server: Server) -> None:
    assert server.url in tb("auth", "ls")
    tb("prompt")
    assert "local" in tb("workspace", "current")
    tb("auth", "--host", server.url, "--token", server.admin_token)
    tb("auth", "use", "local")
