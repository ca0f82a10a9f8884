"""What the engine has said about a SELECT is asked once, for as long as the tables in it stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from deploy_home import Home

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Query, Result
from birdhouse.errors import DeploymentRefused, SqlError

EVENTS = "SCHEMA >\n    `user` String,\n    `amount` UInt32\n"
PER_USER = "NODE sums\nSQL >\n    SELECT user, sum(amount) AS total FROM events GROUP BY user\n"
READER = "NODE top\nSQL >\n    SELECT user FROM per_user ORDER BY total LIMIT {}\n"


@pytest.fixture
def asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The SELECTs whose columns the engine is asked for."""
    found: list[str] = []
    select = type(engine).select

    async def noting(self: Engine, query: Query, /) -> Result:
        if query.sql.startswith("DESCRIBE TABLE ("):
            found.append(query.sql)
        return await select(self, query)

    monkeypatch.setattr(type(engine), "select", noting)
    yield found


async def test_a_pipe_that_another_one_reads_is_not_asked_about_again(home: Home, asked: list[str]) -> None:
    await home.deploy({"datasources/events.datasource": EVENTS})
    await home.deploy({"pipes/per_user.pipe": PER_USER})
    assert len(asked) == 1
    for limit in (1, 2):
        asked.clear()
        await home.deploy({"pipes/best.pipe": READER.format(limit)})
        assert len(asked) == 1 and f"LIMIT {limit}" in asked[0]


async def test_a_table_with_other_columns_is_asked_about_anew(home: Home) -> None:
    await home.deploy({"datasources/events.datasource": EVENTS, "pipes/per_user.pipe": PER_USER})
    wider = EVENTS.replace("`amount` UInt32", "`amount` UInt32,\n    `place` String")
    by_place = {"pipes/by_place.pipe": PER_USER.replace("user", "place")}
    with pytest.raises(SqlError, match="place"):
        await home.deploy(by_place)
    await home.deploy({"datasources/events.datasource": wider})
    await home.deploy(by_place)
    other_type = wider.replace("`amount` UInt32", "`amount` String")
    with pytest.raises(DeploymentRefused) as refused:
        await home.deploy({"datasources/events.datasource": other_type})
    assert len(refused.value.problems) == 2
