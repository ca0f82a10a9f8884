"""What a name and an address tell."""

from __future__ import annotations

import pytest

from cdp.importers.git.identity import Bot, bot, github_login, is_email, organization_domain


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("ann@acme.io", "acme.io"),
        ("Ann@US.Acme.IO", "acme.io"),
        ("ann@cs.helsinki.fi", "helsinki.fi"),
        ("ann@eng.acme.co.uk", "acme.co.uk"),
        ("ann@co.uk", "co.uk"),
        ("ann@xn--bcher-kva.ch", "xn--bcher-kva.ch"),
        ("ann@gmail.com", ""),
        ("ann@mail.gmail.com", ""),
        ("1+ann@users.noreply.github.com", ""),
        ("ann@example.com", ""),
        ("ann@laptop.local", ""),
        ("ann@laptop", ""),
        ("ann@127.0.0.1", ""),
        ("ann@13f79535-47bb-0310-9956-ffa450edef68", ""),
        ("ann@(none)", ""),
        ("acme.io", ""),
        ("ann", ""),
        ("", ""),
    ],
)
def test_the_organization_of_an_address(email: str, domain: str) -> None:
    assert organization_domain(email) == domain


@pytest.mark.parametrize(
    ("name", "email", "verdict"),
    [
        ("renovate[bot]", "29139614+renovate[bot]@users.noreply.github.com", Bot.CONFIRMED),
        ("Somebody", "dependabot@acme.io", Bot.CONFIRMED),
        ("DEPENDABOT", "x@acme.io", Bot.CONFIRMED),
        ("generatedunixname89002005287564", "x@meta.com", Bot.CONFIRMED),
        ("GitHub", "noreply@github.com", Bot.CONFIRMED),
        ("Acme Robot", "x@acme.io", Bot.SUSPECTED),
        ("acme-ci2", "x@acme.io", Bot.SUSPECTED),
        ("Ann", "deploy@acme.io", Bot.SUSPECTED),
        ("Ann Abbott", "abbott@acme.io", Bot.NO),
        ("Robert Cronin", "cronin@merger.com", Bot.NO),
        ("", "", Bot.NO),
    ],
)
def test_programs_are_told_from_people(name: str, email: str, verdict: Bot) -> None:
    assert bot(name, email) is verdict


@pytest.mark.parametrize(
    ("email", "account"),
    [
        ("583231+OctoCat@users.noreply.github.com", ("octocat", True)),
        ("octocat@users.noreply.github.com", ("octocat", False)),
        ("octocat@github.com", None),
    ],
)
def test_the_account_behind_a_no_reply_address(email: str, account: tuple[str, bool] | None) -> None:
    assert github_login(email) == account


@pytest.mark.parametrize(
    ("text", "valid"),
    [("ann@acme.io", True), ("jörg@bücher.ch", True), ("ann", False), ("ann@acme", False), ("a b@acme.io", False)],
)
def test_an_address_needs_a_domain(text: str, valid: bool) -> None:
    assert is_email(text) is valid
