"""Members and organizations met while reading a history: one person per e-mail address.

Git knows no accounts. Whoever commits with an address is the person of that address, whatever the name
beside it and the case of its letters; .mailmap is how a project says that two addresses are one person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cdp.importers.git.identity import Bot, bot, github_login, is_email, organization_domain
from cdp.importers.git.log import Signature
from cdp.importers.git.records import PLATFORM, organization_id, organization_rows
from cdp.moments import Moment, iso
from cdp.records import stable_id

NAME_LENGTH_MAX = 500
EMAIL_LENGTH_MAX = 320
NOBODY = "unknown"


class Identity(NamedTuple):
    platform: str
    type: str
    value: str
    verified: bool


@dataclass(slots=True)
class Member:
    username: str
    """The address in lower case, else the name: the natural key, and the identity on platform git."""
    name: str
    created: int
    bot: Bot
    joined: int | None = None
    """Time of the earliest activity with a believable time."""
    identities: set[Identity] = field(default_factory=set)
    id: str = ""

    def __post_init__(self) -> None:
        self.id = stable_id("member", self.username)

    def row(self, imported_at: str) -> dict[str, Any]:
        is_bot = self.bot is Bot.CONFIRMED
        return {
            "id": self.id,
            "attributes": {
                "isBot": {PLATFORM: is_bot, "default": is_bot},
                "isTeamMember": {"default": False},
                "isOrganization": {"default": False},
            },
            "contributions": [],
            "joinedAt": iso(self.created if self.joined is None else self.joined),
            "createdAt": iso(self.created),
            "updatedAt": imported_at,
            "displayName": self.name,
            "score": -1,
        }

    def identity_rows(self, imported_at: str) -> list[dict[str, Any]]:
        return [
            {
                "id": stable_id("memberIdentity", self.username, identity.platform, identity.type, identity.value),
                "memberId": self.id,
                "platform": identity.platform,
                "value": identity.value,
                "sourceId": "",
                # Part of the sorting key, and a person may appear in many repositories: it stays empty.
                "integrationId": "",
                "type": identity.type,
                "verified": identity.verified,
                "createdAt": iso(self.created),
                "updatedAt": imported_at,
                "deletedAt": None,
            }
            for identity in sorted(self.identities)
        ]


class Changes(NamedTuple):
    """Rows by data source that activities read so far refer to, and that were not taken before."""

    organizations: list[dict[str, Any]]
    organization_identities: list[dict[str, Any]]
    members: list[dict[str, Any]]
    member_identities: list[dict[str, Any]]


class People:
    """Holds every member and organization of the history, the one thing an import keeps in memory as a
    whole."""

    def __init__(self, members: Iterable[Member] = (), organizations: dict[str, int] | None = None) -> None:
        """What earlier imports knew: members, and creation times of organizations by domain."""
        self.members = {member.username: member for member in members}
        self.organizations = dict(organizations or {})
        self.seen_members: set[str] = set()
        self.seen_organizations: set[str] = set()
        self._changed_members: dict[str, Member] = {}
        self._changed_organizations: dict[str, int] = {}
        self._by_signature: dict[Signature, Member] = {}

    def member(self, signature: Signature, when: Moment) -> Member:
        member = self._by_signature.get(signature)
        if member is None:
            member = self._by_signature[signature] = self._meet(signature, when)
        if not when.clamped and when.seconds and (member.joined is None or when.seconds < member.joined):
            member.joined = when.seconds
            self._changed_members[member.username] = member
        return member

    def _meet(self, signature: Signature, when: Moment) -> Member:
        name = signature.name.strip()[:NAME_LENGTH_MAX]
        email = signature.email.strip()[:EMAIL_LENGTH_MAX].lower()
        username = email or name or NOBODY
        self.seen_members.add(username)
        member = self.members.get(username)
        if member is None:
            display = name or email.partition("@")[0] or NOBODY
            member = Member(username, display, when.created, Bot.NO)
            self.members[username] = member
            self._changed_members[username] = member
        elif member.name in (email.partition("@")[0], NOBODY) and name:
            member.name = name
            self._changed_members[username] = member
        self._add_identities(member, signature)
        self._judge(member, name, email)
        return member

    def _add_identities(self, member: Member, signature: Signature) -> None:
        found = {Identity(PLATFORM, "username", member.username, True)}
        for address in {signature.email.strip().lower(), signature.written_email.strip().lower()}:
            if is_email(address) and len(address) <= EMAIL_LENGTH_MAX:
                found.add(Identity(PLATFORM, "email", address, False))
            if account := github_login(address):
                found.add(Identity("github", "username", *account))
        if not found <= member.identities:
            member.identities |= found
            self._changed_members[member.username] = member

    def _judge(self, member: Member, name: str, email: str) -> None:
        """Any name or address of a program makes the member one; a suspicion never clears a certainty."""
        verdict = bot(name, email)
        if member.bot is Bot.NO or verdict is Bot.CONFIRMED:
            if verdict is member.bot:
                return
            member.bot = verdict
            self._changed_members[member.username] = member

    def organization(self, member: Member, signature: Signature, when: Moment) -> str:
        """Id of the organization the activity counts for, or an empty text. The address written in the
        commit tells where its author worked then; the mapped one is where they are now."""
        if member.bot is Bot.CONFIRMED:
            return ""
        domain = organization_domain(signature.written_email) or organization_domain(signature.email)
        if not domain:
            return ""
        if domain not in self.organizations:
            self.organizations[domain] = self._changed_organizations[domain] = when.created
        self.seen_organizations.add(domain)
        return organization_id(domain)

    def take_changes(self, imported_at: str) -> Changes:
        organizations = [
            organization_rows(domain, created, imported_at) for domain, created in self._changed_organizations.items()
        ]
        members = list(self._changed_members.values())
        self._changed_organizations = {}
        self._changed_members = {}
        return Changes(
            organizations=[organization for organization, _ in organizations],
            organization_identities=[identity for _, identity in organizations],
            members=[member.row(imported_at) for member in members],
            member_identities=[row for member in members for row in member.identity_rows(imported_at)],
        )
