"""The community looks like one: who does how much, when, where from, and what becomes of their work."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import orjson
from told_community import ACTIVITIES, Told

PULL_REQUESTS = ("pull_request-opened", "merge_request-opened", "changeset-created")


def when(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["timestamp"])


def share(part: int, whole: int) -> float:
    return part / whole


def pull_request_key(row: dict[str, Any]) -> str:
    if row["type"] in (*PULL_REQUESTS, "changeset-merged", "changeset-abandoned"):
        return str(row["sourceId"])
    parent = str(row["sourceParentId"])
    return parent.partition("-")[0] if row["type"] == "patchset_approval-created" else parent


def pull_requests(told: Told) -> dict[tuple[str, str], dict[str, list[dict[str, Any]]]]:
    """Events by type, by (platform, key)."""
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in told.truth["activityRelations"]:
        if row["type"].startswith(("pull_request", "merge_request", "changeset-", "patchset")):
            found[row["platform"], pull_request_key(row)][row["type"]].append(row)
    return found


def test_few_people_do_most_of_the_work(told: Told) -> None:
    counts = sorted(Counter(row["memberId"] for row in told.truth["activityRelations"]).values(), reverse=True)
    top = sum(counts[: len(counts) // 10])
    assert 0.3 < share(top, sum(counts)) < 0.85
    assert counts[len(counts) // 2] < sum(counts) / len(counts) / 1.5
    assert len(counts) > 0.6 * told.community.scale.members


def test_a_week_has_a_weekend_and_a_year_has_growth(told: Told) -> None:
    times = [when(row) for row in told.truth["activityRelations"]]
    weekend = share(sum(time.weekday() >= 5 for time in times), len(times))
    assert 0.08 < weekend < 0.25
    years = Counter(time.year for time in times)
    assert years[2025] > 1.3 * years[2021] > 0
    assert years[1970] == 1
    assert max(years) > 2050


def test_people_are_awake_by_their_own_clock(told: Told) -> None:
    hours: Counter[int] = Counter()
    clocks = set()
    for row in told.truth["activities"]:
        if row["type"] == "authored-commit" and row["platform"] == "git":
            clock = orjson.loads(row["attributes"])["timezone"]
            clocks.add(clock)
            hours[(when(row).hour + int(clock[:3])) % 24] += 1
    assert len(clocks) > 8
    # Programs, and merges at the hour of whoever merged, are what happens at night.
    assert share(sum(hours[hour] for hour in range(1, 6)), hours.total()) < 0.15
    assert share(sum(hours[hour] for hour in range(8, 18)), hours.total()) > 0.45


def test_people_come_and_go(told: Told) -> None:
    seen: dict[str, list[datetime]] = defaultdict(list)
    for row in told.truth["activityRelations"]:
        if 2020 < when(row).year < 2027:
            seen[row["memberId"]].append(when(row))
    gone = [member for member, times in seen.items() if max(times).year < 2024]
    new = [member for member, times in seen.items() if min(times).year >= 2024]
    assert share(len(gone), len(seen)) > 0.2
    assert share(len(new), len(seen)) > 0.2


def test_programs_teams_and_accounts_of_organizations_are_among_the_members(told: Told) -> None:
    attributes = [row["attributes"] for row in told.truth["members"]]
    for flag in ("isBot", "isTeamMember", "isOrganization"):
        flagged = sum(found[flag]["default"] for found in attributes)
        assert 0 < flagged < len(attributes) / 10, flag
    bots = {row["id"] for row in told.truth["members"] if row["attributes"]["isBot"].get("github")}
    done = [row for row in told.truth["activityRelations"] if row["memberId"] in bots]
    assert 0.01 < share(len(done), ACTIVITIES) < 0.5
    assert all(row["organizationId"] == "" for row in done)


def test_places_are_written_as_people_write_them(told: Told) -> None:
    places = {row["location"] for row in told.truth["organizations"]}
    places |= {row["attributes"].get("location", {"default": ""})["default"] for row in told.truth["members"]}
    for text in (
        "Nigeria",
        "Niger",
        "Romania",
        "Somalia",
        "Papua New Guinea",
        "Dominican",
        "Indiana",
        "USA",
        "UK",
        "Berlin",
    ):
        assert any(text in place for place in places), text
    assert "" in places


def test_work_histories_explain_the_organization_of_an_activity(told: Told) -> None:
    jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in told.truth["memberOrganizations"]:
        jobs[row["memberId"]].append(row)
    assert any(row["dateStart"] is None for row in told.truth["memberOrganizations"])
    assert any(row["dateEnd"] for row in told.truth["memberOrganizations"])
    with_one = 0
    for row in told.truth["activityRelations"]:
        if not row["organizationId"]:
            continue
        with_one += 1
        time = row["timestamp"]
        assert any(
            (job["dateStart"] or "") <= time <= (job["dateEnd"] or "9")
            for job in jobs[row["memberId"]]
            if job["organizationId"] == row["organizationId"] and job["title"] != "Board Member"
        )
    assert 0.2 < share(with_one, ACTIVITIES) < 0.9


def test_projects_and_repositories_show_every_state(told: Told) -> None:
    repositories = told.truth["repositories"]
    for test in (
        lambda row: row["enabled"] and not row["excluded"] and not row["deletedAt"],
        lambda row: not row["enabled"],
        lambda row: row["excluded"],
        lambda row: row["archived"],
        lambda row: row["deletedAt"],
    ):
        assert any(test(row) for row in repositories)
    pages = told.truth["insightsProjects"]
    assert {row["isLF"] for row in pages} == {True, False}
    assert len({row["slug"] for row in pages}) == len(pages)
    groups = [row for row in told.truth["segments"] if not row["parentId"]]
    assert len(groups) >= 3
    hosts = {row["url"].split("/")[2].split(".")[0] for row in repositories}
    assert hosts == {"github", "gitlab", "review"}


def test_every_life_a_pull_request_can_have_is_there(told: Told) -> None:
    lives: dict[str, Counter[str]] = defaultdict(Counter)
    for (platform, _), events in pull_requests(told).items():
        types = {type_.partition("-")[2] for type_ in events}
        opened = bool({*PULL_REQUESTS} & events.keys())
        ended = {"merged", "closed", "abandoned"} & types
        lives[platform]["orphan" if not opened else "open" if not ended else "ended"] += 1
        lives[platform].update(types)
        states = {row["pullRequestReviewState"] for row in events.get("pull_request-reviewed", ())}
        lives[platform].update(states)
        if opened and ended and "closed" in types and "merged" not in types:
            lives[platform]["closed unmerged"] += 1
        if {"review-changes-requested", "review-approved"} <= types:
            lives[platform]["sent back, then approved"] += 1
        if opened and "merged" in types and not types & {"reviewed", "review-approved", "created_approval"}:
            lives[platform]["merged without review"] += 1
        if len(events.get("patchset-created", ())) > 1:
            lives[platform]["several patch sets"] += 1
    common = {"orphan", "open", "ended", "merged", "merged without review"}
    asked = {"assigned", "review-requested", "closed", "closed unmerged"}
    assert common | asked | {"reviewed", "APPROVED", "CHANGES_REQUESTED", "COMMENTED"} <= lives["github"].keys()
    assert (
        common | asked | {"review-approved", "review-changes-requested", "sent back, then approved"}
        <= lives["gitlab"].keys()
    )
    assert common | {"abandoned", "closed", "several patch sets"} <= lives["gerrit"].keys()


def test_a_pull_request_is_opened_before_anything_else_happens_to_it(told: Told) -> None:
    for events in pull_requests(told).values():
        opening = next((events[type_][0] for type_ in PULL_REQUESTS if type_ in events), None)
        times = [when(row) for rows in events.values() for row in rows if "deletedAt" not in row]
        if opening is not None:
            assert when(opening) == min(times)


def test_an_opening_may_arrive_after_its_reviews(told: Told) -> None:
    late = 0
    for events in pull_requests(told).values():
        opening = next((events[type_][0] for type_ in PULL_REQUESTS if type_ in events), None)
        others = [row["createdAt"] for type_, rows in events.items() if type_ not in PULL_REQUESTS for row in rows]
        late += opening is not None and bool(others) and opening["createdAt"] > min(others)
    assert late > 3


def test_issues_have_answers_or_wait_for_one(told: Told) -> None:
    rows = told.truth["activityRelations"]
    asked = {row["sourceId"]: row["memberId"] for row in rows if row["type"] == "issues-opened"}
    answered = {
        row["sourceParentId"]
        for row in rows
        if row["type"] == "issue-comment" and asked.get(row["sourceParentId"]) not in (None, row["memberId"])
    }
    closed = {row["sourceParentId"] for row in rows if row["type"] == "issues-closed"} & asked.keys()
    assert 0.5 < share(len(answered), len(asked)) < 0.8
    assert 0.4 < share(len(closed), len(asked)) < 0.75
    assert closed - answered


def test_trouble_comes_as_often_as_asked_for(told: Told) -> None:
    tally, shares = told.tally, told.community.shares
    assert 0.7 < tally.late / ACTIVITIES / shares.late < 1.3
    assert 0.6 < tally.deletes / ACTIVITIES / shares.deleted < 1.5
    # Some are corrected more than once, and the accounts that are merged add theirs.
    assert 1 < tally.updates / ACTIVITIES / shares.updated < 2.5
    rows = sum(tally.rows.values())
    assert rows == sum(map(len, told.delivered.values()))
    assert 0.7 < tally.duplicates / rows / shares.duplicated < 1.3
    assert 0.7 < tally.disordered / rows / shares.disordered < 1.3


def test_an_activity_is_corrected_up_to_three_times_and_moves_to_another_member(told: Told) -> None:
    versions: dict[str, set[str]] = defaultdict(set)
    moved = sized = overtaken = 0
    newest: dict[str, str] = {}
    for row in told.delivered["activityRelations"]:
        document = orjson.loads(row)
        found = document["record"]
        versions[found["activityId"]].add(found["updatedAt"])
        moved += "memberId" in (document["changes"] or {})
        sized += "gitInsertions" in (document["changes"] or {})
        overtaken += found["updatedAt"] < newest.get(found["activityId"], "")
        newest[found["activityId"]] = max(found["updatedAt"], newest.get(found["activityId"], ""))
    assert max(map(len, versions.values())) >= 4
    assert min(moved, sized, overtaken) > 20
