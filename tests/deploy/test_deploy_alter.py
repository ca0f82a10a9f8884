from __future__ import annotations

import pytest
from workspaces import EVENTS, workspace_of

from birdhouse.deploy.alter import alterations
from birdhouse.errors import InvalidInput
from birdhouse.language.datafile.parse import parse_datasource

WITH_TTL = EVENTS + 'ENGINE_TTL "ts + toIntervalDay(7)"\n'
WITH_INDEX = EVENTS.replace("ENGINE ", "INDEXES >\n    ix user TYPE bloom_filter(0.01) GRANULARITY 4\n\nENGINE ", 1)


def texts(old: str, new: str) -> list[str]:
    datasource = workspace_of({"events.datasource": old}).datasource("events")
    return [each.text for each in alterations(datasource, parse_datasource(new, name="events"))]


def extended(column: str) -> str:
    return EVENTS.replace("`amount` Int32 `json:$.amount`", f"`amount` Int32 `json:$.amount`,\n    {column}")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (EVENTS, EVENTS, []),
        (EVENTS, f"DESCRIPTION hello\n{EVENTS}", ["MODIFY DESCRIPTION"]),
        (EVENTS, extended("`x` String `json:$.x`"), ["ADD COLUMN `x` String"]),
        (EVENTS, extended("`x` Int8 `json:$.x` DEFAULT -1"), ["ADD COLUMN `x` Int8 DEFAULT -1"]),
        (EVENTS, WITH_TTL, ["MODIFY TTL ts + toIntervalDay(7)"]),
        (WITH_TTL, EVENTS, ["REMOVE TTL"]),
        (EVENTS, WITH_INDEX, ["ADD INDEX `ix` user TYPE bloom_filter(0.01)"]),
        (WITH_INDEX, EVENTS, ["DROP INDEX `ix`"]),
        (EVENTS, EVENTS.replace("Int32", "Nullable(Int32)"), ["MODIFY COLUMN `amount` Nullable(Int32)"]),
        (EVENTS, EVENTS.replace("` String", "` Nullable(String)"), ["MODIFY COLUMN `user` Nullable(String)"]),
        (EVENTS, EVENTS.replace("json:$.user", "json:$.who"), ["MODIFY COLUMN `user` JSONPATH $.who"]),
    ],
)  # fmt: skip
def test_what_can_be_changed_in_place(old: str, new: str, expected: list[str]) -> None:
    assert texts(old, new) == expected


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (EVENTS.replace('KEY "ts"', 'KEY "user"'), "ENGINE_SORTING_KEY of 'events' cannot be changed in place"),
        (EVENTS.replace("MergeTree", "ReplacingMergeTree"), "ENGINE of 'events' cannot be changed in place"),
        (EVENTS + "ENGINE_PARTITION_KEY toYear(ts)\n", "ENGINE_PARTITION_KEY of 'events' cannot be changed in place"),
        (EVENTS.replace("Int32", "String"), "The type of column 'amount' of 'events' cannot be changed in place"),
        (EVENTS.replace(",\n    `amount` Int32 `json:$.amount`", ""), "Column 'amount' of 'events' cannot be dropped"),
    ],
)
def test_what_would_rewrite_keys_or_lose_data_is_refused(new: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        texts(EVENTS, new)
