"""Regression tests of a branch: requests that the main workspace has answered are put to both, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import Pipe, Resource
from birdhouse.catalog.workspace import Workspace
from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Limits, Query, quote_string
from birdhouse.errors import BirdhouseError, InvalidParameter, NotFound
from birdhouse.jobs.job import Job
from birdhouse.jobs.queue import Run
from birdhouse.language.datafile.model import NodeKind
from birdhouse.query.compose import Composer
from birdhouse.usage.reading import rows_of_workspace
from birdhouse.workspaces.comparison import Answered, Assertions, assertions, differences, timings

COVERAGE, LAST, MANUAL = "coverage", "last", "manual"
REQUESTS_MAX = 100
"""The most requests of one test of one endpoint."""
TESTS_MAX = 100
LAST_LIMIT = 10
RESULT_BYTES_MAX = 32_000_000
"""A larger answer is not compared: it fails with the engine's reason."""

Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Test:
    """`pipe` is a regular expression on names of endpoints.

    `coverage` takes the newest `count` requests of each set of parameter names, `last` the newest `count` of all, both
    of those that name all of `matches`; `manual` takes `params`.
    """

    pipe: str
    type: str
    config: Assertions
    count: int = 1
    matches: Sequence[str] = ()
    params: Sequence[Parameters] = ()


def regression_payload(branch: Workspace, content: object, *, in_main: bool) -> dict[str, Any]:
    """What a job is asked to do, from what clients send. `in_main` runs the endpoints of the branch on rows of main.

    Raises InvalidParameter.
    """
    if branch.main_id is None:
        raise NotFound(f"'{branch.name}' is not a branch")
    if not isinstance(content, list):
        raise InvalidParameter(
            "Regression tests are a list.", hint='Write [{"pipe": ".*", "tests": [{"coverage": {}}]}].'
        )
    tests = [test for entry in content for test in _tests(entry)]
    if len(tests) > TESTS_MAX:
        raise InvalidParameter(f"There are {len(tests)} regression tests; the limit is {TESTS_MAX}.")
    return {"tests": [asdict(test) for test in tests], "in_main": in_main}


def _tests(entry: object) -> list[Test]:
    if (
        not isinstance(entry, Mapping)
        or not isinstance(entry.get("pipe"), str)
        or not isinstance(entry.get("tests"), list)
    ):
        raise InvalidParameter("Each regression test has a 'pipe', a regular expression, and a list of 'tests'.")
    return [_test(entry["pipe"], each) for each in entry["tests"]]


def _test(pipe: str, content: object) -> Test:
    if not isinstance(content, Mapping) or len(content) != 1:
        raise InvalidParameter(f"A test of '{pipe}' has one key: {COVERAGE}, {LAST} or {MANUAL}.")
    ((type, options),) = content.items()
    options = {} if options is None else options
    if type not in (COVERAGE, LAST, MANUAL) or not isinstance(options, Mapping):
        raise InvalidParameter(
            f"There is no test {type!r}.", hint=f"Use {COVERAGE}, {LAST} or {MANUAL} with its options."
        )
    count = options.get("limit") if type == LAST else options.get("samples_by_params")
    count = (LAST_LIMIT if type == LAST else 1) if count is None else count
    if not isinstance(count, int) or not 1 <= count <= REQUESTS_MAX:
        raise InvalidParameter(f"A test of '{pipe}' takes from 1 to {REQUESTS_MAX} requests, not {count!r}.")
    matches = _list(options, "matches", str)
    params = _list(options, "params", Mapping)
    texts = [{str(name): str(value) for name, value in each.items()} for each in params]
    return Test(pipe, type, assertions(options.get("config") or {}), count, matches, texts)


def _list(options: Mapping[str, Any], name: str, of: type[Any]) -> list[Any]:
    found = options.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, of) for each in found) or len(found) > REQUESTS_MAX:
        raise InvalidParameter(f"'{name}' of a regression test is not a list of at most {REQUESTS_MAX} such values.")
    return found


class RegressionRunner:
    """Only reads. A job that is interrupted begins again."""

    def __init__(
        self, engine: Engine, catalog: Catalog, services: Callable[[], Workspace | None], limits: Limits
    ) -> None:
        self._engine = engine
        self._catalog = catalog
        self._services = services
        self._limits = replace(limits, result_bytes=RESULT_BYTES_MAX)

    def touches(self, job: Job) -> frozenset[str]:
        return frozenset()

    async def run(self, run: Run) -> Mapping[str, Any]:
        branch = self._catalog.workspace(run.job.workspace_id)
        main = self._catalog.main_of(branch)
        if main is None:
            raise NotFound(f"'{branch.name}' is not a branch")
        changed = _on_rows_of(main, branch) if run.job.payload["in_main"] else branch
        progress: list[dict[str, Any]] = []
        for content in run.job.payload["tests"]:
            test = Test(**{**content, "config": Assertions(**content["config"])})
            for name in await self._endpoints(main, branch, test.pipe):
                progress.append({"run": await self._tested(main, changed, name, test)})
                run.show(progress=list(progress))
        return {"progress": progress}

    async def clean(self, job: Job) -> None:
        """It leaves nothing behind."""

    async def _endpoints(self, main: Workspace, branch: Workspace, pattern: str) -> list[str]:
        """Those of both workspaces. The engine's expressions cannot be made to take long, Python's can."""
        names = sorted({each.name for each in _published(main)} & {each.name for each in _published(branch)})
        if not names:
            return []
        listed = ", ".join(map(quote_string, names))
        whole = quote_string(f"^(?:{pattern})$")
        sql = f"SELECT arrayFilter(name -> match(name, {whole}), [{listed}]) AS names"
        result = await self._engine.select(Query(sql, "JSONCompactEachRow", limits=self._limits))
        found: list[str] = orjson.loads(result.body)[0]
        return found

    async def _tested(self, main: Workspace, branch: Workspace, name: str, test: Test) -> dict[str, Any]:
        requests = test.params if test.type == MANUAL else await self._recorded(main, name, test)
        pairs: list[tuple[Answered, Answered]] = []
        failed: list[dict[str, str]] = []
        for parameters in requests:
            pairs.append((await self._answer(main, name, parameters), await self._answer(branch, name, parameters)))
            if error := differences(*pairs[-1], test.config):
                failed.append({"name": _told(name, test.type, parameters), "error": error})
                if test.config.failfast:
                    break
        return {
            "pipe_name": name,
            "test_type": test.type,
            "output": f"{name} ({test.type}): {len(pairs) - len(failed)} of {len(pairs)} requests passed\n",
            "was_successfull": not failed,
            "failed": failed,
            "metrics_summary": {"run": len(pairs), "passed": len(pairs) - len(failed), "failed": len(failed)},
            "metrics_timing": timings(pairs),
        }

    async def _recorded(self, main: Workspace, name: str, test: Test) -> Sequence[Parameters]:
        """Parameters of requests that went well, newest first. SQL of callers over an endpoint is not repeated."""
        rows = rows_of_workspace(self._services(), "pipe_stats_rt", main.id)
        matches = ", ".join(map(quote_string, test.matches))
        limit = f"LIMIT {test.count} BY arraySort(mapKeys(parameters))" if test.type == COVERAGE else ""
        sql = (
            f"SELECT parameters FROM (\n{rows}\n) WHERE pipe_name = {quote_string(name)} AND error = 0 "
            f"AND NOT mapContains(parameters, 'q') AND hasAll(mapKeys(parameters), CAST([{matches}], 'Array(String)')) "
            f"GROUP BY parameters ORDER BY max(start_datetime) DESC {limit} "
            f"LIMIT {REQUESTS_MAX if test.type == COVERAGE else test.count}"
        )
        result = await self._engine.select(Query(sql, "JSONCompactEachRow", limits=self._limits))
        return [orjson.loads(line)[0] for line in result.body.splitlines()]

    async def _answer(self, workspace: Workspace, name: str, parameters: Parameters) -> Answered:
        try:
            composed = Composer(workspace, parameters, services=self._services()).pipe(workspace.pipe(name))
            limits = replace(self._limits, threads=composed.max_threads)
            result = await self._engine.select(Query(composed.sql, "JSON", composed.query_parameters, limits))
        except BirdhouseError as error:
            return Answered(None, str(error))
        cost = result.statistics
        return Answered(orjson.loads(result.body)["data"], "", cost.elapsed_seconds, cost.bytes_read)


def _published(workspace: Workspace) -> list[Pipe]:
    return [pipe for pipe in workspace.pipes() if pipe.kind is NodeKind.ENDPOINT]


def _on_rows_of(main: Workspace, branch: Workspace) -> Workspace:
    """The branch, with the data sources of the main workspace in place of its own."""
    resources: list[Resource] = [*main.datasources(), *branch.pipes()]
    return replace(branch, resources={each.name: each for each in resources})


def _told(name: str, type: str, parameters: Parameters) -> str:
    told = "&".join(f"{key}={value}" for key, value in parameters.items())
    return f"{name}({type}) - {name}.json?{told}" if told else f"{name}({type}) - {name}.json"
