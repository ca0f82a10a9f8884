"""The same arguments are the same bytes, and a larger community begins like a smaller one."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from cdp.simulate import DATASOURCES, Community, ImpossibleCommunity, Shares, Tally
from cdp.simulate.delivery import BATCH_ROWS_MAX

DIGEST = "63709042adb10d114b06d2c7adbdb95e200d0ff38033b9cdabf104ba0a69acd7"


def digest(community: Community) -> str:
    told = hashlib.sha256()
    for batch in community.batches():
        told.update(batch.datasource.encode())
        for row in batch.rows:
            told.update(row)
    return told.hexdigest()


def final_rows(activities: int, datasource: str) -> list[bytes]:
    return sorted(row for name, row in Community(5, activities).final_state() if name == datasource)


def test_a_seed_and_a_size_are_always_the_same_bytes() -> None:
    """Who changes what is told puts the new digest here."""
    assert digest(Community(7, 2_000)) == DIGEST


def test_a_community_can_be_told_again() -> None:
    community = Community(3, 500)
    assert digest(community) == digest(community)


def test_another_seed_or_time_is_another_community() -> None:
    assert len({digest(Community(seed, 300, years=years)) for seed in (1, 2) for years in (1, 2)}) == 4
    assert digest(Community(1, 300)) != digest(Community(1, 300, start=date(2015, 1, 1)))


@pytest.mark.parametrize("datasource", ["members", "organizations", "memberOrganizations", "organizationIdentities"])
def test_a_larger_community_has_the_same_first_people(datasource: str) -> None:
    small, large = final_rows(3_000, datasource), final_rows(9_000, datasource)
    assert len(small) < len(large)
    assert set(small) <= set(large)


@pytest.mark.parametrize("activities", [1, 2, 100, 4_321])
def test_exactly_as_many_activities_are_told_as_were_asked_for(activities: int) -> None:
    tally = Tally()
    batches = list(Community(11, activities, years=2).batches(tally))
    assert tally.activities == activities
    assert {batch.datasource for batch in batches} <= set(DATASOURCES)
    assert all(0 < len(batch.rows) <= BATCH_ROWS_MAX for batch in batches)
    assert tally.rows["activityRelations"] >= activities


def test_without_trouble_every_row_comes_once_and_in_its_turn() -> None:
    tally = Tally()
    calm = Shares(late=0, updated=0, deleted=0, duplicated=0, disordered=0)
    rows = [row for batch in Community(2, 2_000, shares=calm).batches(tally) for row in batch.rows]
    assert len(rows) == len(set(rows))
    assert (tally.late, tally.deletes, tally.duplicates, tally.disordered) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "arguments",
    [{"seed": -1}, {"activities": 0}, {"activities": 10**10}, {"years": 0}, {"years": 99}, {"start": date(1960, 1, 1)}],
    ids=str,
)
def test_an_impossible_community_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ImpossibleCommunity, match=r"must be from .*\(given"):
        Community(**{"seed": 1, "activities": 10, **arguments})  # type: ignore[arg-type]
    with pytest.raises(ImpossibleCommunity, match="late must be from 0 to 1"):
        Shares(late=1.5)
