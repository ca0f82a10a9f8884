from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import Commands, in_a_process
from flows.flow_server import Server, running_server

SCRIPT = 'curl --silent "$TB_HOST/v0/pipes/{pipe}.csv?token=$TB_TOKEN"\n'
PROJECT = {
    "datasources/votes.datasource": "SCHEMA >\n    `poll` String `json:$.poll`,\n    `yes` UInt8 `json:$.yes`\n",
    "datasources/sums.datasource": "SCHEMA >\n    poll String, votes UInt64\n",
    "datasources/best.datasource": "SCHEMA >\n    poll String, votes UInt64\n",
    "pipes/total.pipe": (
        "NODE n\nSQL >\n    SELECT poll, count() AS votes FROM votes WHERE yes GROUP BY poll\n"
        "TYPE copy\nTARGET_DATASOURCE sums\n"
    ),
    "pipes/a_best.pipe": (
        "NODE n\nSQL >\n    SELECT poll, votes FROM result ORDER BY votes DESC LIMIT 1\n"
        "TYPE copy\nTARGET_DATASOURCE best\n"
    ),
    "pipes/result.pipe": (
        "NODE result_0\nSQL >\n    %\n    SELECT poll, votes FROM sums WHERE votes >= {{ Int32(least, 0) }}\n"
        "    {% if defined(boom) %}{{ error('no luck') }}{% end %} ORDER BY poll\n"
    ),
    "pipes/winner.pipe": "NODE winner_0\nSQL >\n    SELECT poll FROM best\n",
    "fixtures/votes.ndjson": '{"poll": "tea", "yes": 1}\n{"poll": "tea", "yes": 1}\n{"poll": "mate", "yes": 1}\n',
    "tests/winner.test": SCRIPT.format(pipe="winner"),
    "tests/winner.test.result": '"poll"\n\n"tea"\n',
    "tests/result.yaml": (
        "# what people voted\n"
        "- name: everything\n  parameters: ''\n  expected_result: |\n"
        '    {"votes":1, "poll":"mate"}\n    {"poll":"tea","votes":2}\n\n'
        "- name: the_most  # with a comment\n  parameters:\n    least: 2\n"
        '  expected_result: \'{"poll":"tea","votes":2}\'\n'
        "- name: refused\n  parameters: boom=1&least=1\n  expected_http_status: 400\n  expected_result: no luck\n"
    ),
    "tests/quality.yaml": (
        "- no_negative_votes:\n    max_bytes_read: null\n    max_time: 5\n"
        "    sql: SELECT * FROM sums WHERE votes < 0\n"
        "- the_winner_is_known:\n    max_time: null\n    sql: null\n"
        "    pipe:\n      name: result\n      params:\n        least: 100\n"
    ),
    "tests/regression.yaml": "- anything: at all\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server") / "data", follow_schedules=False) as server:
        yield server


@pytest.fixture
def project(birdhouse: Commands, server: Server, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Its data is on the server, which is called `here`."""
    monkeypatch.setenv("TB_HOST_HERE", server.url)
    birdhouse.write(PROJECT)
    if not server.get("/v0/pipes").json()["pipes"]:
        birdhouse("test", "--host", "here", "--prepare")
    return birdhouse


def test_a_new_server_gets_the_project_its_fixtures_and_its_copies(tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "fixtures/votes.ndjson").write_text(PROJECT["fixtures/votes.ndjson"] + '{"poll": 1, "yes": "maybe"}\n')
    printed = in_a_process("test", "--junit", "report.xml", folder=tmp_path)
    assert printed.startswith("✓ 6 tests: 6 passed in ")
    report = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert (report.get("tests"), report.get("failures")) == ("6", "0")
    assert [(case.get("classname"), case.get("name")) for case in report][:2] == [
        ("quality", "no_negative_votes"),
        ("quality", "the_winner_is_known"),
    ]


def test_what_differs_is_shown_and_fails(project: Commands) -> None:
    project.write({
        "tests/winner.test.result": '"poll"\n"mate"\n',
        "tests/quality.yaml": (
            "- no_votes:\n    sql: SELECT * FROM sums ORDER BY poll\n"
            "- none_is_read:\n    max_bytes_read: 0\n    max_time: 0\n"
                "    sql: SELECT poll FROM sums GROUP BY poll HAVING max(votes) < 0\n"
            "- it_works:\n    sql: SELECT nothing FROM sums\n"
        ),
        "tests/result.yaml": PROJECT["tests/result.yaml"].replace('"votes":2', '"votes":3').replace("400", "404"),
    })  # fmt: skip
    printed = project("test", "--host", "here", "--junit", "report.xml", code=1)
    assert '-"mate"\n+"tea"\n' in printed
    assert 'It finds 2 rows: {"poll": "mate", "votes": 1}, {"poll": "tea", "votes": 2}\n' in printed
    assert "It reads " in project.error and "max_bytes_read is 0" in project.error and "max_time is 0" in project.error
    assert "Unknown expression identifier `nothing`" in printed
    assert '-{"poll":"tea","votes":3}\n+{"poll":"tea","votes":2}\n' in printed
    assert "The endpoint answers 400 instead of 404: no luck" in printed
    assert "7 tests: 1 passed, 6 failed" in printed
    failures = list(ElementTree.parse(project.folder / "report.xml").getroot().iter("failure"))
    assert len(failures) == 6
    assert '+"tea"' in (failures[-1].text or "")
    answer = project.json("test", "--host", "here", code=1)
    assert (answer["passed"], answer["failed"], answer["written"]) == (1, 6, [])
    assert {test["name"]: test["passed"] for test in answer["tests"]}["it_works"] is False
    assert "7 tests: 0 passed, 7 failed" in project("test", "--host", "here", "--strict", code=1)


def test_update_writes_what_is_answered_and_leaves_the_rest_of_a_file_alone(project: Commands) -> None:
    project.write({
        "tests/new.test": SCRIPT.format(pipe="winner"),
        "tests/result.yaml": (
            "# votes\n- name: all\n  expected_result: |  # one\n    {}\n\n\n# two\n"
            "- name: most\n  parameters: {least: 2}  # three\n"
            "- expected_result: '{}'  # four\n  name: more\n  parameters: least=2\n"
            "- name: none\n  expected_result: |\n    {}\n  parameters:\n    least: 9\n"
            "- name: refused\n  parameters: boom=1&least=1\n  expected_http_status: 400\n  expected_result: luck\n"
            "- name: refused_too\n  parameters: boom=1\n  expected_http_status: 400\n  expected_result: bad luck"
        ),
    })  # fmt: skip
    printed = project("test", "--host", "here", "--update")
    assert '+    {"poll":"tea","votes":2}\n' in printed
    assert "10 tests: 4 passed, 2 results written" in printed
    assert project.read("tests/new.test.result") == '"poll"\n"tea"\n'
    assert project.read("tests/result.yaml") == (
        "# votes\n- name: all\n  expected_result: |  # one\n"
        '    {"poll":"mate","votes":1}\n    {"poll":"tea","votes":2}\n\n\n# two\n'
        '- name: most\n  parameters: {least: 2}  # three\n  expected_result: |\n    {"poll":"tea","votes":2}\n'
        '- expected_result: |  # four\n    {"poll":"tea","votes":2}\n  name: more\n  parameters: least=2\n'
        '- name: none\n  expected_result: ""\n  parameters:\n    least: 9\n'
        "- name: refused\n  parameters: boom=1&least=1\n  expected_http_status: 400\n  expected_result: luck\n"
        "- name: refused_too\n  parameters: boom=1\n  expected_http_status: 400\n"
        "  expected_result: |\n    no luck (in node 'result_0' of pipe 'result', line 3)"
    )
    project("test", "--host", "here")


def test_tests_are_chosen_by_their_names(project: Commands) -> None:
    assert "1 test: 1 passed" in project("test", "--host", "here", "-k", "WINNER.test")
    assert "3 tests: 3 passed" in project("test", "--host", "here", "-k", "the_", "-k", "winner.test")
    project("test", "--host", "here", "-k", "nowhere", code=1)
    assert "No test of '.' has 'nowhere' in its name" in project.error


def test_what_stops_the_preparation_is_told(project: Commands) -> None:
    project.write({"fixtures/strangers.ndjson": "{}\n"})
    project("test", "--host", "here", "--prepare", code=1)
    assert "There is no data source 'strangers' for the fixture fixtures/strangers.ndjson" in project.error
    (project.folder / "fixtures/strangers.ndjson").unlink()
    project.write({"fixtures/votes.ndjson": "nonsense", "tests/pipeline.txt": "total\ntotals_*\n"})
    project("test", "--host", "here", "--prepare", code=1)
    assert "There is no copy pipe 'totals_*'\n  (tests/pipeline.txt:2)" in project.error
    project.write({"tests/pipeline.txt": "# nothing\n"})
    assert "To quarantine: 1 row of fixtures/votes.ndjson that did not fit" in "".join(
        (project("test", "--host", "here", "--prepare"), project.error)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "This is not YAML"),
        ("a: b\n", "A file of tests is a list"),
        ("- 1\n", "A test is a mapping"),
        ("- a: 1\n", "'a' is no test"),
        ("- a:\n    max_time: 1\n", "The test 'a' has neither sql nor pipe"),
        ("- a:\n    pipe: {params: {}}\n", "'pipe' of the test 'a' needs a name"),
        ("- a:\n    sql: SELECT 1\n    max_time: soon\n", "'max_time' of the test is not a number of seconds: 'soon'"),
        ("- name: a\n  parameters: [1]\n", "The parameters of a test are a query string or a mapping"),
    ],
)
def test_tests_that_cannot_be_read_are_told_with_their_place(birdhouse: Commands, text: str, message: str) -> None:
    birdhouse.write({"tests/a.yaml": text})
    birdhouse("test", code=1)
    assert message in birdhouse.error
    assert "tests/a.yaml:" in birdhouse.error


def test_a_project_without_tests_is_told_so(birdhouse: Commands) -> None:
    birdhouse("test", code=1)
    assert "There are no tests in 'tests'" in birdhouse.error


def test_data_sources_that_another_workspace_shares_are_there_with_their_fixtures(birdhouse: Commands) -> None:
    birdhouse.write({
        "pipes/reach.pipe": "NODE n\nSQL >\n    SELECT sum(n) AS visits FROM shop.visits\n\nTYPE ENDPOINT\n",
        "vendor/shop/datasources/visits.datasource": "SCHEMA >\n    `n` UInt32 `json:$.n`\n",
        "vendor/shop/fixtures/visits.ndjson": '{"n": 1}\n{"n": 10}\n',
        "tests/reach.yaml": "- name: all\n  parameters: ''\n  expected_result: '{\"visits\": 11}'\n",
    })  # fmt: skip
    assert "1 passed" in birdhouse("test", birdhouse.folder)
