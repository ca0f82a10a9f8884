"""Organizations by number: where they are, what they are called, what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cdp.records import stable_id
from cdp.simulate.chance import around, one_of, stream
from cdp.simulate.entity import Entity, entity
from cdp.simulate.places import PLACES, Place
from cdp.simulate.scale import DAY, Scale
from cdp.simulate.words import INDUSTRIES, ORGANIZATION_ENDINGS, ORGANIZATION_WORDS

_REMEMBERED_MAX = 20_000
_SIZES = ((10, "1-10"), (50, "11-50"), (200, "51-200"), (1_000, "201-1000"), (10_000, "1001-10000"))


@dataclass(frozen=True, slots=True)
class Organization:
    index: int
    id: str
    name: str
    domain: str
    place: Place
    employees: int
    is_team: bool
    known_since: int
    changes: tuple[tuple[int, dict[str, Any]], ...]


class Organizations:
    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._of = lru_cache(_REMEMBERED_MAX)(self._make)

    def __getitem__(self, index: int) -> Organization:
        return self._of(index)

    def _make(self, index: int) -> Organization:
        rng = stream(self._scale.seed, "organization", index)
        words = len(ORGANIZATION_WORDS)
        name = f"{ORGANIZATION_WORDS[index % words]} {ORGANIZATION_ENDINGS[index // words % len(ORGANIZATION_ENDINGS)]}"
        turn = index // (words * len(ORGANIZATION_ENDINGS))
        name = f"{name} {turn + 1}" if turn else name
        slug = name.lower().replace(" ", "-")
        place = PLACES.draw(rng)
        return Organization(
            index=index,
            id=stable_id("organization", str(self._scale.seed), str(index)),
            name=name,
            domain=f"{slug}.example",
            place=place,
            employees=0 if rng.random() < 0.1 else int(around(rng, 300, 1.6)) + 1,
            is_team=rng.random() < 0.02 or index == 7,
            known_since=self._scale.start - int(rng.random() * 700) * DAY - 1,
            changes=self._changes(rng.random(), rng.random(), name),
        )

    def _changes(self, drawn: float, when: float, name: str) -> tuple[tuple[int, dict[str, Any]], ...]:
        at = self._scale.start + int(when * self._scale.days * DAY)
        if drawn < 0.03:
            return ((at, {"displayName": f"{name} Group"}),)
        if drawn < 0.06:
            return ((at, {"location": "Singapore", "employees": 0}),)
        return ()

    def entities(self) -> Iterator[Entity]:
        for index in range(self._scale.organizations):
            organization = self[index]
            yield entity("organizations", self._record(organization), organization.known_since, organization.changes)
            for platform, kind, value in (
                ("email", "primary-domain", organization.domain),
                ("github", "username", organization.domain.removesuffix(".example")),
            ):
                yield entity(
                    "organizationIdentities",
                    {
                        "organizationId": organization.id,
                        "platform": platform,
                        "sourceId": "",
                        "integrationId": "",
                        "verified": kind == "primary-domain",
                        "type": kind,
                        "value": value,
                    },
                    organization.known_since,
                )

    def _record(self, organization: Organization) -> dict[str, Any]:
        rng = stream(self._scale.seed, "organization profile", organization.index)
        size = next((text for most, text in _SIZES if organization.employees <= most), "10001+")
        return {
            "id": organization.id,
            "displayName": organization.name,
            "location": organization.place.text,
            "logo": f"https://logos.example/{organization.domain}.png",
            "tags": ["open-source"] if rng.random() < 0.3 else [],
            "employees": organization.employees,
            "isTeamOrganization": organization.is_team,
            "type": one_of(rng, ("private", "public", "nonprofit", "educational", "")),
            "size": size if organization.employees else "",
            "headline": f"{organization.name}: built in the open" if rng.random() < 0.5 else "",
            "industry": one_of(rng, INDUSTRIES),
            "founded": 0 if rng.random() < 0.2 else 1950 + int(rng.random() * 70),
        }
