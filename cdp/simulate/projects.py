"""Projects by number: their place in the hierarchy, their repositories and channels, what their rows say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from cdp.moments import iso
from cdp.records import stable_id
from cdp.simulate.chance import Weighted, one_of, stream
from cdp.simulate.entity import Entity, entity
from cdp.simulate.members import project_start
from cdp.simulate.scale import DAY, Scale
from cdp.simulate.words import GROUP_NAMES, PROJECT_ADJECTIVES, PROJECT_NOUNS, REPOSITORY_PARTS, TEAMS

REPOSITORIES_MAX = 9
_HOSTS = ("github", "gerrit", "gitlab")
"""Of the first three projects."""
_LATER_HOSTS = Weighted(_HOSTS, (70, 15, 15))
TALK_PLATFORMS = (
    "slack", "jira", "discord", "groupsio", "confluence", "discourse", "stackoverflow", "devto", "hackernews", "reddit",
    "linkedin", "twitter", "cvent",
)  # fmt: skip
_WIDGETS = (
    "activeContributors", "contributorsLeaderboard", "organizationsLeaderboard", "contributorDependency",
    "organizationDependency", "retention", "geographicalDistribution", "activeDays", "issuesResolution", "pullRequests",
    "mergeLeadTime", "reviewTimeByPullRequestSize", "averageTimeToMerge", "contributionsOutsideWorkHours",
)  # fmt: skip
# The forms of a Gerrit address, and the channel its connector writes for the same repository.
_GERRIT_FORMS = (
    ("https://review.{slug}.example/{name}", "https://review.{slug}.example/q/project:{name}"),
    ("https://review.{slug}.example/r/{name}", "https://review.{slug}.example/r/q/project:{name}"),
    ("https://review.{slug}.example/gerrit/{name}", "https://review.{slug}.example/gerrit/q/project:{name}"),
)


@dataclass(frozen=True, slots=True)
class Repository:
    id: str
    name: str
    url: str
    channel: str
    """What the connector of the code host writes; git writes the URL."""
    created: int
    closed: int | None
    """When it was archived or removed: nothing happens in it any more."""
    change: dict[str, Any]
    """What became of it: nothing, disabled, excluded, archived or removed."""
    changed_at: int


class Project:
    def __init__(self, scale: Scale, index: int) -> None:
        self._seed = str(scale.seed)
        rng = stream(scale.seed, "project", index)
        self.index = index
        self.name = _name(scale.seed, index)
        self.slug = self.name.lower().replace(" ", "-")
        self.host = _HOSTS[index] if index < len(_HOSTS) else _LATER_HOSTS.draw(rng)
        self.start = project_start(scale, index)
        self.end = scale.end
        self.pull = 0.6 + rng.random()
        self.release_weeks = 5 + int(rng.random() * 12)
        self.talk_platforms = _talk_platforms(rng, index, self.host)
        self.family = _family(scale.seed, index)
        """Number of the project whose parent segment it shares; its own when it has one for itself."""
        self.group = _group(scale.seed, self.family)
        self.has_page = index < 6 or rng.random() > 0.04
        self.is_enabled = index < 6 or rng.random() > 0.05
        self.segment_id = stable_id("segment", self._seed, "subproject", str(index))
        self.page_id = stable_id("insightsProject", self._seed, str(index)) if self.has_page else ""
        self.repositories = _repositories(self, rng)
        self._drawn = Weighted(self.repositories, [1 / (1 + rank) ** 0.8 for rank in range(len(self.repositories))])

    def repository(self, rng: Random, seconds: int) -> Repository:
        """The first repository is there from the start and stays."""
        for _ in range(3):
            drawn = self._drawn.draw(rng)
            if drawn.created <= seconds and (drawn.closed is None or seconds < drawn.closed):
                return drawn
        return self.repositories[0]

    @property
    def is_lf(self) -> bool:
        return self.group % 2 == 0

    @property
    def platforms(self) -> tuple[str, ...]:
        return ("git", self.host, *self.talk_platforms)

    def id(self, kind: str, *key: str) -> str:
        return stable_id(kind, self._seed, *key)

    def channel(self, rng: Random, platform: str) -> str:
        """Where talk happens."""
        team = one_of(rng, TEAMS)
        match platform:
            case "slack" | "discord":
                return f"#{self.slug}-{team}"
            case "groupsio":
                return f"{self.slug}-{team}"
            case "jira" | "confluence":
                return f"https://{platform}.{self.slug}.example/{self.slug.upper()}"
            case "discourse":
                return f"https://forum.{self.slug}.example/c/{team}"
            case "cvent" | "linkedin" | "twitter" | "devto" | "hackernews" | "reddit":
                return ""
        return self.slug

    def entities(self) -> Iterator[Entity]:
        if self.index == self.family:
            yield self._segment("project")
        yield self._segment("subproject")
        for platform in self.platforms:
            yield self._integration(platform)
        if self.has_page:
            yield self._page()
        for repository in self.repositories:
            yield self._repository(repository)

    def _segment(self, level: str) -> Entity:
        name = _name(int(self._seed), self.family)
        group = group_record(self._seed, self.group)
        parent = {
            **group,
            "id": self.id("segment", "project", str(self.family)),
            "parentId": group["id"],
            "name": name,
            "parentName": group["name"],
            "slug": f"{name.lower().replace(' ', '-')}-project",
            "parentSlug": group["slug"],
            "description": f"All about {name}.",
        }
        if level == "project":
            return entity("segments", parent, self.start)
        leaf = {
            **parent,
            "id": self.segment_id,
            "parentId": parent["id"],
            "grandparentId": group["id"],
            "url": self.repositories[0].url,
            "name": self.name,
            "parentName": name,
            "grandparentName": group["name"],
            "slug": self.slug,
            "parentSlug": parent["slug"],
            "grandparentSlug": group["slug"],
        }
        return entity("segments", leaf, self.start)

    def _integration(self, platform: str) -> Entity:
        record = {
            "id": self.id("integration", str(self.index), platform),
            "platform": platform,
            "status": "done",
            "settings": {"remotes": [one.url for one in self.repositories]} if platform == "git" else {},
            "integrationIdentifier": self.slug,
            "segmentId": self.segment_id,
            "deletedAt": None,
        }
        return entity("integrations", record, self.start)

    def _page(self) -> Entity:
        rng = stream(int(self._seed), "page", self.index)
        record = {
            "id": self.page_id,
            "name": self.name,
            "slug": self.slug,
            "description": f"{self.name} does one thing well.",
            "segmentId": self.segment_id,
            "deletedAt": None,
            "logoUrl": f"https://logos.example/{self.slug}.svg",
            "organizationId": "",
            "website": f"https://{self.slug}.example",
            "github": self.repositories[0].url if self.host == "github" else "",
            "linkedin": "",
            "twitter": f"https://twitter.example/{self.slug}" if rng.random() < 0.4 else "",
            "widgets": [widget for widget in _WIDGETS if rng.random() < 0.9],
            "enabled": self.is_enabled,
            "isLF": self.is_lf,
            "keywords": self.slug.split("-"),
        }
        changes = []
        if rng.random() < 0.3:
            at = self.start + int(rng.random() * (self.end - self.start)) + DAY
            changes = [(at, {"description": f"{self.name} does two things well."})]
        return entity("insightsProjects", record, self.start, changes)

    def _repository(self, repository: Repository) -> Entity:
        record = {
            "id": repository.id,
            "url": repository.url,
            "segmentId": self.segment_id,
            "gitIntegrationId": self.id("integration", str(self.index), "git"),
            "sourceIntegrationId": self.id("integration", str(self.index), self.host),
            "insightsProjectId": self.page_id,
            "archived": False,
            "forkedFrom": "",
            "excluded": False,
            "enabled": True,
            "deletedAt": None,
            "lastArchivedCheckAt": None,
        }
        changes = [(repository.changed_at, repository.change)] if repository.change else []
        return entity("repositories", record, repository.created, changes)


def group_record(seed: str, group: int) -> dict[str, Any]:
    turn, place = divmod(group, len(GROUP_NAMES))
    name = GROUP_NAMES[place] + (f" {turn + 1}" if turn else "")
    empty = dict.fromkeys(
        ("parentId", "grandparentId", "url", "parentName", "grandparentName", "parentSlug", "grandparentSlug"), ""
    )
    return {
        **empty,
        "id": stable_id("segment", seed, "group", str(group)),
        "name": name,
        "slug": f"{name.lower().replace(' ', '-')}-group",
        "status": "active",
        "description": "",
        "sourceId": "",
        "sourceParentId": "",
    }


def _name(seed: int, index: int) -> str:
    """Different for every number below the product of the word counts, which is above `PROJECTS_MAX`."""
    nouns = len(PROJECT_NOUNS)
    place = (stream(seed, "project names").getrandbits(16) + index * 37) % (len(PROJECT_ADJECTIVES) * nouns)
    return f"{PROJECT_ADJECTIVES[place // nouns]} {PROJECT_NOUNS[place % nouns]}"


def _family(seed: int, index: int) -> int:
    if index < 4 or not _is_younger(seed, index) or _is_younger(seed, index - 1):
        return index
    return index - 1


def _is_younger(seed: int, index: int) -> bool:
    return stream(seed, "family", index).random() < 0.2


def _group(seed: int, family: int) -> int:
    """The first three projects are in three groups; later ones found new groups less and less often."""
    return family if family < 3 else int(stream(seed, "group", family).random() * (3 + family // 12))


def _talk_platforms(rng: Random, index: int, host: str) -> tuple[str, ...]:
    if index < 3:
        found = {platform for place, platform in enumerate(TALK_PLATFORMS) if place % 3 == index}
    else:
        found = {platform for platform in TALK_PLATFORMS if rng.random() < 0.3}
    # A Gerrit project tracks its issues elsewhere.
    found |= {"slack"} | ({"jira"} if host == "gerrit" else set())
    return tuple(platform for platform in TALK_PLATFORMS if platform in found)


def _repositories(project: Project, rng: Random) -> tuple[Repository, ...]:
    # The first projects have enough of them to show every fate and both forms of a Gerrit channel.
    least = (5, 4, 4)[project.index] if project.index < len(_HOSTS) else 2
    count = least + int(7 * rng.random() ** 2)
    return tuple(_make_repository(project, rng, rank) for rank in range(min(count, REPOSITORIES_MAX)))


def _make_repository(project: Project, rng: Random, rank: int) -> Repository:
    name = project.slug if rank == 0 else REPOSITORY_PARTS[rank - 1]
    url, channel = _addresses(project, name, rank)
    lifetime = project.end - project.start
    created = project.start + (int(rng.random() * lifetime * 0.4) if rank else 0)
    changed_at = created + DAY + int((project.end - created - DAY) * rng.random())
    change = _fate(rng, project, rank)
    if "deletedAt" in change:
        change = {"deletedAt": iso(changed_at)}
    closed = changed_at if {"deletedAt", "archived"} & change.keys() else None
    return Repository(
        project.id("repository", str(project.index), name), name, url, channel, created, closed, change, changed_at
    )


def _fate(rng: Random, project: Project, rank: int) -> dict[str, Any]:
    """The first project shows every fate there is; the main repository is spared."""
    fates: tuple[dict[str, Any], ...] = (
        {},
        {"excluded": True},
        {"enabled": False},
        {"archived": True},
        {"deletedAt": None},
        {"forkedFrom": "https://github.com/upstream/origin"},
    )
    drawn = rng.random()
    if rank == 0:
        return {}
    if project.index == 0 and rank < 5:
        return fates[rank]
    return fates[1 + int(rng.random() * 5)] if drawn < 0.25 else {}


def _addresses(project: Project, name: str, rank: int) -> tuple[str, str]:
    if project.host == "gerrit":
        forms = [form.format(slug=project.slug, name=name) for form in _GERRIT_FORMS[project.index % 3]]
        return forms[0], forms[rank % 2 == 0]
    url = f"https://{project.host}.com/{project.slug}/{name}"
    return url, url
