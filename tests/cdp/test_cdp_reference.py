"""The reference files hold what the pipelines look up."""

from __future__ import annotations

from collections import Counter

from cdp.reference import activity_types, commit_trailers, known_bots, public_email_domains


def test_every_activity_type_stands_once() -> None:
    keys = Counter((row.platform, row.activity_type) for row in activity_types())
    assert set(keys.values()) == {1}
    assert len(keys) == 92


def test_a_type_is_code_or_collaboration_or_neither() -> None:
    flags = Counter((row.is_code_contribution, row.is_collaboration) for row in activity_types())
    assert flags[True, True] == 0
    git = {row.activity_type for row in activity_types() if row.platform == "git" and row.is_code_contribution}
    assert len(git) == 11


def test_labels_scores_and_sentiment_are_those_of_the_table() -> None:
    rows = {(row.platform, row.activity_type): row for row in activity_types()}
    opened = rows["github", "pull_request-opened"]
    assert (opened.score, opened.label, opened.sentiment) == (10, "Opened a pull request", False)
    assert rows["github", "unstar"].score == -2
    assert rows["github", "pull_request-review-thread-comment"].is_code_contribution
    assert rows["confluence", "page-created"].is_collaboration
    assert rows["jira", "issue-created"].sentiment


def test_trailers_lead_to_activity_types_of_git_and_never_to_a_second_author() -> None:
    git = {row.activity_type for row in activity_types() if row.platform == "git"}
    reached = {type_ for types in commit_trailers().values() for type_ in types}
    assert reached == git - {"authored-commit"}


def test_the_lists_are_written_in_lower_case_without_doubles() -> None:
    for entries in (known_bots(), public_email_domains(), commit_trailers()):
        assert all(entry == entry.lower().strip() for entry in entries)
    assert {"gmail.com", "users.noreply.github.com"} <= public_email_domains()
    assert "github.com" not in public_email_domains()
