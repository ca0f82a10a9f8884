"""Real repositories for tests, and a sink that keeps rows as ReplacingMergeTree tables would."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cdp.importers.git import Receipt

ANN = "Ann Author <ann@acme.io>"
BOB = "Bob Builder <bob@initech.de>"
NOON = 1_714_564_800  # 2024-05-01 12:00:00 UTC

KEYS = {
    "activities": ("id",),
    "activityRelations": ("segmentId", "timestamp", "type", "platform", "channel", "sourceId"),
    "activityTypes": ("platform", "activityType"),
    "insightsProjects": ("id",),
    "integrations": ("segmentId", "id"),
    "memberIdentities": ("integrationId", "memberId", "id"),
    "members": ("id",),
    "organizationIdentities": ("organizationId", "platform", "type", "value"),
    "organizations": ("id",),
    "repositories": ("url",),
    "segments": ("slug",),
}


class MemorySink:
    def __init__(self, destination: str = "memory") -> None:
        self.destination = destination
        self.sends: list[tuple[str, list[dict[str, Any]]]] = []

    async def send(self, datasource: str, rows: Iterable[bytes]) -> Receipt:
        decoded = [json.loads(row) for row in rows]
        self.sends.append((datasource, decoded))
        return Receipt(len(decoded))

    @property
    def sent_rows(self) -> int:
        return sum(len(rows) for _, rows in self.sends)

    def rows(self, datasource: str) -> list[dict[str, Any]]:
        """One row per sorting key: the greatest version, of equal ones the last sent."""
        final: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.versions(datasource):
            key = tuple(row[column] for column in KEYS[datasource])
            if key not in final or row["updatedAt"] >= final[key]["updatedAt"]:
                final[key] = row
        return list(final.values())

    def versions(self, datasource: str) -> list[dict[str, Any]]:
        return [row.get("record", row) for name, rows in self.sends if name == datasource for row in rows]

    def relations(self, activity_type: str) -> list[dict[str, Any]]:
        return [row for row in self.rows("activityRelations") if row["type"] == activity_type]

    def member(self, username: str) -> dict[str, Any]:
        ids = {row["memberId"] for row in self.rows("memberIdentities") if row["value"] == username}
        (member,) = (row for row in self.rows("members") if row["id"] in ids)
        return member


class Clone:
    """A working repository whose commits say exactly what a test wants them to."""

    def __init__(self, path: Path, remote: str = "https://github.com/acme/rocket.git") -> None:
        self.path = path
        if not path.exists():
            subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(path)], check=True)
        if remote:
            self.git("config", "remote.origin.url", remote)

    def git(self, *arguments: str, text: str = "", **variables: str) -> str:
        return self.git_bytes(*arguments, stdin=text.encode(), **variables).decode().rstrip("\n")

    def git_bytes(self, *arguments: str, stdin: bytes = b"", **variables: str) -> bytes:
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, input=stdin, env={**CLEAN, **variables}, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def write(self, name: str, content: str | bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")

    def commit(
        self,
        message: str = "Change",
        *,
        author: str = ANN,
        committer: str = "",
        when: int = NOON,
        committed: int | None = None,
        zone: str = "+0000",
        parents: Iterable[str] | None = None,
    ) -> str:
        """Commits the index as it stands, byte for byte, and moves HEAD."""
        if parents is None:
            head = self.git("rev-parse", "--quiet", "--verify", "HEAD", "--") if self.has_commits else ""
            parents = [head] if head else []
        lines = [f"tree {self.git('write-tree')}", *(f"parent {parent}" for parent in parents)]
        lines += [
            f"author {author} {when} {zone}",
            f"committer {committer or author} {when if committed is None else committed} {zone}",
        ]
        return self.raw_commit(("\n".join(lines) + f"\n\n{message}\n").encode())

    def raw_commit(self, content: bytes) -> str:
        made = self.git_bytes("hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=content)
        hash_ = made.decode().strip()
        self.git("update-ref", "HEAD", hash_)
        return hash_

    def shallow(self, path: Path, depth: int, remote: str = "") -> Clone:
        command = ["git", "clone", "--quiet", f"--depth={depth}", self.path.as_uri(), str(path)]
        subprocess.run(command, check=True, env=CLEAN, capture_output=True)
        return Clone(path, remote)

    @property
    def has_commits(self) -> bool:
        return bool(self.git("rev-list", "--all", "-n1"))

    def shortlog(self) -> dict[tuple[str, str], int]:
        """Commits by name and e-mail, as `git shortlog -sne HEAD` counts them."""
        counts: dict[tuple[str, str], int] = {}
        for line in self.git_bytes("shortlog", "-sne", "HEAD").splitlines():
            number, _, person = decoded(line).partition("\t")
            name, _, email = person.rpartition(" <")
            counts[name, email.removesuffix(">")] = int(number)
        return counts

    def commit_count(self) -> int:
        return int(self.git("rev-list", "--count", "HEAD"))

    def months(self) -> list[str]:
        return sorted(self.git("log", "--format=%ad", "--date=format-local:%Y-%m", "HEAD", TZ="UTC").splitlines())


def decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def authored_by_person(sink: MemorySink) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for row in sink.rows("activities"):
        if row["type"] == "authored-commit":
            attributes = json.loads(row["attributes"])
            person = (attributes["name"], attributes["email"])
            counts[person] = counts.get(person, 0) + 1
    return counts


def authored_by_member(sink: MemorySink) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in sink.relations("authored-commit"):
        counts[row["memberId"]] = counts.get(row["memberId"], 0) + 1
    return counts


def folded(shortlog: dict[tuple[str, str], int]) -> list[int]:
    """What shortlog counts per e-mail address without case: the commits of each member, sorted."""
    counts: dict[str, int] = {}
    for (name, email), number in shortlog.items():
        key = email.lower() or name
        counts[key] = counts.get(key, 0) + number
    return sorted(counts.values())


CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C",
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@acme.io",
    "GIT_COMMITTER_NAME": "Ann Author",
    "GIT_COMMITTER_EMAIL": "ann@acme.io",
}
