"""Reads an e-mail address and a name: whose address it is, which organization it speaks for, whether a
program has it."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache

from cdp.reference import known_bots, public_email_domains

_EMAIL = re.compile(r"[^\s@<>\"(),;:]+@(?:[\w-]+\.)+[\w-]{2,}")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{2,59})")
_GITHUB_NOREPLY = re.compile(r"(?:(?P<id>\d+)\+)?(?P<login>[a-z\d](?:[a-z\d-]{0,38}))@users\.noreply\.github\.com")
_GENERATED_NAME = re.compile(r"generatedunixname\d+", re.IGNORECASE)
_SUSPICIOUS = re.compile(
    r"(?:^|[-_/\s])"
    r"(?:bot|robot|actions?|agent|automation|build|deploy|hook|integration|pipeline|runner|sync|svc|ci|cd|autoroll"
    r"|release|merge|cron|app|service|worker|commits?)"
    r"\d*(?:$|[-_/\s])",
    re.IGNORECASE,
)
# Under a country's domain these labels stand where others have their name: bbc.co.uk, not co.uk.
_SECOND_LEVEL = frozenset(
    ("ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "mil", "ne", "net", "nom", "or", "org", "sch")
)
_REMEMBERED_ADDRESSES_MAX = 100_000


class Bot(Enum):
    NO = "no"
    SUSPECTED = "suspected"
    """A whole word of the name or login is typical of programs; people have such names too."""
    CONFIRMED = "confirmed"


def is_email(text: str) -> bool:
    return _EMAIL.fullmatch(text) is not None


def bot(name: str, email: str) -> Bot:
    local = email.partition("@")[0]
    login = local.rpartition("+")[2]
    texts = (name, email, local, login)
    if any(text.lower() in known_bots() or "[bot]" in text.lower() or _GENERATED_NAME.search(text) for text in texts):
        return Bot.CONFIRMED
    return Bot.SUSPECTED if _SUSPICIOUS.search(name) or _SUSPICIOUS.search(login) else Bot.NO


def github_login(email: str) -> tuple[str, bool] | None:
    """The account behind a GitHub no-reply address. True when the address also carries the account's number:
    the older form without it stays with a login that may have changed hands."""
    match = _GITHUB_NOREPLY.fullmatch(email.lower())
    return None if match is None else (match["login"], match["id"] is not None)


@lru_cache(maxsize=_REMEMBERED_ADDRESSES_MAX)
def organization_domain(email: str) -> str:
    """`ann@eng.acme.co.uk` speaks for `acme.co.uk`; empty for public mail hosts, private networks and
    addresses that are none."""
    domain = email.rpartition("@")[2].lower().rstrip(".")
    if "@" not in email or _DOMAIN.fullmatch(domain) is None:
        return ""
    labels = domain.split(".")
    if any(".".join(labels[start:]) in public_email_domains() for start in range(len(labels))):
        return ""
    country_code = len(labels[-1]) == 2
    depth = 3 if country_code and len(labels) > 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-depth:])
