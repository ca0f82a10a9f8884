"""Everything that is wrong with a project, with its place, and each thing once."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from workspaces import EVENTS, NOW, SUMS, pipe

from birdhouse.deploy.review import review
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query
from birdhouse.language.datafile.include import unroll

VIEW = pipe("SELECT user, sum(amount) AS total FROM events GROUP BY user", more="TYPE materialized\nDATASOURCE sums\n")
GOOD = {"events.datasource": EVENTS, "sums.datasource": SUMS, "view.pipe": VIEW}


async def reviewed(engine: Engine, files: Mapping[str, str], **options: object) -> list[str]:
    """`file:line:column message` of each problem."""
    found = await review(engine, None, {**GOOD, **files}, NOW, **options)  # type: ignore[arg-type]
    return [f"{each.file}:{each.line}:{each.column} {each.message}" for each in found]


async def test_a_project_without_problems_leaves_nothing_behind(engine: Engine) -> None:
    assert await reviewed(engine, {"top.pipe": pipe("SELECT user, sum(total) AS total FROM sums GROUP BY user")}) == []
    result = await engine.select(Query("SELECT name FROM system.databases WHERE name LIKE 'scratch%'", "JSON"))
    assert json.loads(result.body)["data"] == []


PROBLEMS = {
    "a directive": ("a.pipe", f"NODES 1\n{pipe('SELECT 1')}", "a.pipe:1:1 Unknown directive NODES"),
    "a type": ("d.datasource", "SCHEMA >\n    `a` Strin\n", "d.datasource:2:6 Column 'a': Unknown type 'Strin'"),
    "a key": (
        "d.datasource",
        EVENTS.replace('KEY "ts"', 'KEY "day"'),
        "d.datasource:7:21 ENGINE_SORTING_KEY names no column: 'day'",
    ),
    "a default": (
        "d.datasource",
        "SCHEMA >\n    `a` String,\n    `b` String DEFAULT lowr('x')\n",
        "d.datasource:3:24 Data Source 'd': There is no function lowr.",
    ),
    "a name": (
        "a.pipe",
        pipe("SELECT 1\n    FROM evnts"),
        "a.pipe:4:10 Resource 'evnts' not found, read by node 'main'",
    ),
    "syntax": ("a.pipe", pipe("SELECT 1\n      FROM (events"), "a.pipe:4:12 Syntax error"),
    "a column": (
        "a.pipe",
        "NODE first\nSQL >\n    # one\n\n    SELECT 1\n\n" + pipe("SELECT\n        usr\n    FROM events"),
        "a.pipe:10:9 Unknown expression identifier `usr`",
    ),
    "a template": ("a.pipe", pipe("%\n    SELECT 1\n    WHERE {{ Strin(a) }}"), "a.pipe:5:0 "),
    "a column behind a template": (
        "a.pipe",
        pipe("%\n    SELECT user\n    FROM events WHERE {{ Int32(a, 1) }} = usr"),
        "a.pipe:5:43 Unknown expression",
    ),
    "a branch that only a default reaches": (
        "a.pipe",
        pipe("%\n    SELECT {{ Int32(a, 1) }} AS x\n    {% if defined(a) %}, nothing{% end %} FROM events"),
        "a.pipe:5:26 Unknown expression identifier `nothing` with the defaults of a given (in node",
    ),
    "a branch that only an example reaches": (
        "a.pipe",
        pipe("%\n    SELECT {% if b == 'y' %}nothing{% else %}{{ String(b, example='y') }}{% end %} FROM events"),
        "with the examples of b given (in node 'main' of pipe 'a')",
    ),
    "a target": (
        "a.pipe",
        pipe("SELECT 1 AS x", more="TYPE copy\nTARGET_DATASOURCE nowhere\n"),
        "a.pipe:5:19 Target Data Source 'nowhere' of copy pipe 'a' does not exist",
    ),
    "a target that lacks a column": (
        "a.pipe",
        pipe("SELECT user, 1 AS extra FROM events", more="TYPE copy\nTARGET_DATASOURCE sums\n"),
        "a.pipe:3:23 Data Source 'sums' has no column for: extra UInt8",
    ),
    "a circle": ("a.pipe", pipe("SELECT * FROM a", node="n"), "a.pipe:0:0 Circular reference: a.n -> a.n"),
    "a second definition": ("pipes/view.pipe", pipe("SELECT 1"), "pipes/view.pipe:0:0 'view' is defined twice"),
    "a scope": ("t.token", "SCOPE PIPES:REED\nRESOURCE view\n", "t.token:2:10 'PIPES:REED:view' is not a scope."),
    "a resource of a scope": (
        "t.token",
        "SCOPE PIPES:READ\nRESOURCE none\n",
        "t.token:2:10 The resource 'none' of the scope PIPES:READ does not exist",
    ),
}


@pytest.mark.parametrize("what", PROBLEMS)
async def test_a_problem_is_found_with_its_place(engine: Engine, what: str) -> None:
    file, text, problem = PROBLEMS[what]
    (found,) = await reviewed(engine, {file: text})
    assert problem in found


async def test_all_are_found_at_once_and_what_follows_from_another_is_not_told(engine: Engine) -> None:
    files = {
        "bad.datasource": "SCHEMA >\n    a Strin\n",
        "many.pipe": "".join(
            (
                pipe("SELECT usr FROM events", node="one"),
                pipe("SELECT * FROM one", node="two"),
                pipe("SELECT (1", node="three"),
                pipe("SELECT * FROM three JOIN nowhere ON 1", node="four"),
                pipe("SELECT nope FROM sums", node="five"),
            )
        ),
        "reader.pipe": pipe("SELECT * FROM many JOIN bad USING (a)"),
        "quarantine.pipe": pipe("SELECT * FROM unreadable_quarantine"),
        "fine.pipe": pipe("SELECT nothing FROM view"),
    }
    found = await reviewed(engine, files, unreadable=["pipes/unreadable.datasource"])
    assert [each.partition(" ")[0] for each in found] == [
        "bad.datasource:2:5",
        "fine.pipe:3:12",
        "many.pipe:3:12",
        "many.pipe:9:12",
        "many.pipe:12:30",
        "many.pipe:15:12",
    ]


async def test_a_problem_of_an_included_file_is_told_once_in_that_file(engine: Engine) -> None:
    included = "NODE within_$N\nSQL >\n    SELECT usr FROM $SOURCE\n"
    files = {
        f"p{number}.pipe": unroll(
            f'INCLUDE "part.incl" "SOURCE=events" "N={number}"\n', read=lambda _: included, file=f"p{number}.pipe"
        )
        for number in range(3)
    }
    (found,) = await reviewed(engine, files)
    assert found.startswith("part.incl:3:12 Unknown expression")


async def test_a_constant_of_another_node_counts_as_one(engine: Engine) -> None:
    files = {
        "ages.pipe": pipe("SELECT ts, 'day' AS unit FROM events", node="units")
        + pipe("SELECT dateDiff(unit, ts, now()) AS age, ts, 'hour' AS unit FROM units", node="in_days"),
        "reader.pipe": pipe("SELECT age, dateDiff(unit, ts, now()) AS hours FROM ages"),
    }
    assert await reviewed(engine, files) == []


async def test_what_is_too_deep_with_all_that_it_reads_is_found(engine: Engine) -> None:
    nodes = [pipe("SELECT 1 AS one", node="n0")]
    nodes += [pipe(f"SELECT * FROM n{number - 1}", node=f"n{number}") for number in range(1, 80)]
    (found,) = await reviewed(engine, {"deep.pipe": "".join(nodes)})
    assert "Circular or too deep reference" in found


async def test_variables_of_the_environment_are_filled_in(engine: Engine) -> None:
    files = {"a.pipe": pipe("SELECT $COLUMN\n    FROM events")}
    assert await reviewed(engine, files, env={"COLUMN": "user"}) == []
    (found,) = await reviewed(engine, files, env={"COLUMN": "usr"})
    assert found.startswith("a.pipe:1:0 Unknown expression")
