"""The rows: one function per data source, as change data capture would deliver them.

Every id is a UUID of the row's natural key, so a second import meets the rows of the first. `createdAt`, the
partition, is a time of the history for the same reason; `updatedAt`, the version, is the time of the import,
because the daily snapshots read only rows updated since the last one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cdp.moments import iso
from cdp.records import stable_id

PLATFORM = "git"

# The widgets a history can fill; the health score counts what is listed here.
_WIDGETS = (
    "activeContributors",
    "contributorDependency",
    "organizationDependency",
    "retention",
    "activeDays",
    "contributionsOutsideWorkHours",
)


@dataclass(frozen=True, slots=True)
class Project:
    """What the repository belongs to. Repositories imported with the same slug and group share one project
    page."""

    name: str
    slug: str = ""
    group: str = ""
    """Name of the project group, the top of the three levels."""
    description: str = ""
    website: str = ""
    logo_url: str = ""

    @classmethod
    def of_url(cls, url: str, name: str) -> Project:
        """`https://host/acme/rocket` is the project `rocket` of the group `acme`."""
        path = url.partition("://")[2].partition("/")[2] if not url.startswith("file:") else ""
        group, _, last = path.rpartition("/")
        return cls(name=last or name, group=group.rpartition("/")[2])

    @property
    def page_slug(self) -> str:
        return self.slug or _slug(self.name)

    @property
    def group_name(self) -> str:
        return self.group or "Repositories"

    @property
    def group_slug(self) -> str:
        # One slug per level: the segments data source is keyed by slug alone.
        return f"{_slug(self.group_name)}-group"

    @property
    def project_slug(self) -> str:
        return f"{self.page_slug}-project"

    def segment_id(self, level: str) -> str:
        """`level` is group, project or subproject; activities belong to the subproject."""
        key = (self.group_slug,) if level == "group" else (self.group_slug, self.page_slug)
        return stable_id("segment", level, *key)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "project"


@dataclass(frozen=True, slots=True)
class Source:
    """The repository as the other rows name it."""

    url: str
    project: Project
    imported_at: str
    created_seconds: int
    """Time of the first commit."""

    @property
    def segment_id(self) -> str:
        return self.project.segment_id("subproject")

    @property
    def integration_id(self) -> str:
        return stable_id("integration", PLATFORM, self.url)

    @property
    def times(self) -> dict[str, str]:
        return {"createdAt": iso(self.created_seconds), "updatedAt": self.imported_at}


def segment_rows(source: Source) -> list[dict[str, Any]]:
    """The project group, the project, and the subproject activities belong to."""
    project = source.project
    group = {
        "id": project.segment_id("group"),
        "parentId": "",
        "grandparentId": "",
        "url": "",
        "name": project.group_name,
        "parentName": "",
        "grandparentName": "",
        "slug": project.group_slug,
        "parentSlug": "",
        "grandparentSlug": "",
        "status": "active",
        "description": "",
        "sourceId": "",
        "sourceParentId": "",
        **source.times,
    }
    middle = {
        **group,
        "id": project.segment_id("project"),
        "parentId": group["id"],
        "name": project.name,
        "parentName": group["name"],
        "slug": project.project_slug,
        "parentSlug": group["slug"],
        "description": project.description,
    }
    leaf = {
        **middle,
        "id": source.segment_id,
        "parentId": middle["id"],
        "grandparentId": group["id"],
        "url": source.url,
        "parentName": middle["name"],
        "grandparentName": group["name"],
        "slug": project.page_slug,
        "parentSlug": middle["slug"],
        "grandparentSlug": group["slug"],
    }
    return [group, middle, leaf]


def integration_row(source: Source) -> dict[str, Any]:
    return {
        "id": source.integration_id,
        "platform": PLATFORM,
        "status": "done",
        "settings": {"remotes": [source.url]},
        "integrationIdentifier": source.url,
        "segmentId": source.segment_id,
        **source.times,
        "deletedAt": None,
    }


def insights_project_row(source: Source) -> dict[str, Any]:
    project = source.project
    return {
        "id": stable_id("insightsProject", project.group_slug, project.page_slug),
        "name": project.name,
        "slug": project.page_slug,
        "description": project.description,
        "segmentId": source.segment_id,
        **source.times,
        "deletedAt": None,
        "logoUrl": project.logo_url,
        "organizationId": "",
        "website": project.website,
        "github": source.url if source.url.startswith("https://github.com/") else "",
        "linkedin": "",
        "twitter": "",
        "widgets": list(_WIDGETS),
        "enabled": True,
        "isLF": False,
        "keywords": [],
    }


def repository_row(source: Source) -> dict[str, Any]:
    project = source.project
    return {
        "id": stable_id("repository", source.url),
        "url": source.url,
        "segmentId": source.segment_id,
        "gitIntegrationId": source.integration_id,
        "sourceIntegrationId": source.integration_id,
        "insightsProjectId": stable_id("insightsProject", project.group_slug, project.page_slug),
        "archived": False,
        "forkedFrom": "",
        "excluded": False,
        "enabled": True,
        **source.times,
        "deletedAt": None,
        "lastArchivedCheckAt": None,
    }


def organization_rows(domain: str, created: int, imported_at: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The organization and its identity. All a history tells of it is the domain."""
    times = {"createdAt": iso(created), "updatedAt": imported_at}
    organization = {
        "id": organization_id(domain),
        "displayName": domain,
        "location": "",
        "logo": "",
        "tags": [],
        "employees": 0,
        **times,
        "isTeamOrganization": False,
        "type": "",
        "size": "",
        "headline": "",
        "industry": "",
        "founded": 0,
    }
    identity = {
        "organizationId": organization["id"],
        **times,
        "platform": PLATFORM,
        "sourceId": "",
        "integrationId": "",
        "verified": True,
        "type": "primary-domain",
        "value": domain,
    }
    return organization, identity


def organization_id(domain: str) -> str:
    return stable_id("organization", domain)
