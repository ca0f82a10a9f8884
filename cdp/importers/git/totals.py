"""What git itself counts in a history: the figures that an import has to reproduce."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cdp.importers.git.log import text_of
from cdp.importers.git.repository import Repository
from cdp.moments import moment


@dataclass(frozen=True, slots=True)
class Totals:
    """Commits in all, per author as (name, e-mail), and per month of the author's date in UTC as `2024-05`."""

    commits: int
    per_author: Mapping[tuple[str, str], int]
    per_month: Mapping[str, int]


def git_totals(path: str | os.PathLike[str], revision: str = "HEAD") -> Totals:
    """Asks `git rev-list --count`, `git shortlog -sne` and `git log`."""
    repository = Repository(path)
    times = repository.ask("log", "--format=%at", revision, "--").split()
    return Totals(
        commits=repository.count(revision),
        per_author=dict(map(_author, repository.ask("shortlog", "-sne", revision, "--").splitlines())),
        per_month=Counter(moment(int(seconds)).iso[:7] for seconds in times),
    )


def _author(line: str) -> tuple[tuple[str, str], int]:
    number, _, person = text_of(os.fsencode(line)).partition("\t")
    name, _, email = person.rpartition(" <")
    return (name, email.removesuffix(">")), int(number)
