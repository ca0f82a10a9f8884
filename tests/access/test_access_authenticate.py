from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from birdhouse.access import jwt
from birdhouse.access.authenticate import Authenticator
from birdhouse.access.scopes import Scope, ScopeType, parse_scope
from birdhouse.access.store import FixedTokens, Token, TokenOrigin, TokenStore
from birdhouse.clock import ManualClock
from birdhouse.errors import InvalidToken
from birdhouse.metadata.database import Database

ONE, TWO = "ws_one", "ws_two"
FIXED = "a-text-of-our-own-that-is-no-signature"


@pytest.fixture
async def authenticator(tokens: TokenStore, clock: ManualClock) -> Authenticator:
    await tokens.create_defaults(ONE)
    await tokens.create_defaults(TWO)
    return Authenticator(tokens, clock)


async def default(tokens: TokenStore, workspace: str, origin: TokenOrigin) -> str:
    token = await tokens.default(workspace, origin)
    assert token
    return token.text


async def visitor(tokens: TokenStore, clock: ManualClock, workspace: str = ONE, key_of: str = ONE) -> str:
    key = await default(tokens, key_of, TokenOrigin.WORKSPACE_ADMIN)
    expires_at = int(clock.now().timestamp()) + 60
    return jwt.create(workspace, "visitor", expires_at, [{"type": "PIPES:READ", "resource": "ep"}], key)


@pytest.mark.parametrize(
    ("origin", "is_admin", "is_user"),
    [
        (TokenOrigin.WORKSPACE_ADMIN, True, False),
        (TokenOrigin.ADMIN, True, False),
        (TokenOrigin.USER, True, True),
        (TokenOrigin.CREATE_DATASOURCE, False, False),
    ],
)
async def test_a_default_token_is_what_it_was_made_for(
    authenticator: Authenticator, tokens: TokenStore, origin: TokenOrigin, is_admin: bool, is_user: bool
) -> None:
    grants = await authenticator.authenticate(await default(tokens, ONE, origin))
    assert (grants.workspace_id, grants.is_admin, grants.is_user, grants.is_jwt) == (
        ONE,
        is_admin,
        is_user,
        False,
    )


@pytest.mark.parametrize("text", [None, ""])
async def test_a_missing_token_has_its_own_message(authenticator: Authenticator, text: str | None) -> None:
    with pytest.raises(InvalidToken, match="No auth token provided"):
        await authenticator.authenticate(text)


@pytest.mark.parametrize("text", ["x", "p.", "p.ey", "p.ey.x", "eyJh.eyJh.x", "p.\ud800.é", "é", "ey" * 50_000])
async def test_what_is_no_token_is_refused(authenticator: Authenticator, text: str) -> None:
    with pytest.raises(InvalidToken, match="The text is not a token"):
        await authenticator.authenticate(text)


async def test_a_verified_token_is_not_asked_for_again(
    authenticator: Authenticator, tokens: TokenStore, database: Database
) -> None:
    text = await default(tokens, ONE, TokenOrigin.ADMIN)
    first = await authenticator.authenticate(text)
    database.close()
    assert await authenticator.authenticate(text) is first


async def test_a_change_of_scopes_counts_at_once(authenticator: Authenticator, tokens: TokenStore) -> None:
    made = await tokens.create(ONE, "t", [parse_scope("TOKENS")])
    assert (await authenticator.authenticate(made.text)).scopes == (Scope(ScopeType.TOKENS),)
    await tokens.change(ONE, "t", scopes=[])
    assert (await authenticator.authenticate(made.text)).scopes == ()


async def test_a_deleted_or_refreshed_token_ends_at_once(authenticator: Authenticator, tokens: TokenStore) -> None:
    deleted = await tokens.create(ONE, "deleted", [])
    refreshed = await tokens.create(ONE, "refreshed", [])
    for token in (deleted, refreshed):
        await authenticator.authenticate(token.text)
    await tokens.delete(ONE, "deleted")
    fresh = await tokens.refresh(ONE, "refreshed")
    for token in (deleted, refreshed):
        with pytest.raises(InvalidToken):
            await authenticator.authenticate(token.text)
    assert (await authenticator.authenticate(fresh.text)).token_name == "refreshed"


class SlowStore(TokenStore):
    """Holds back the answer for one text until told to go on."""

    held = ""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        super().__init__(database, clock)
        self.has_read, self.go_on = asyncio.Event(), asyncio.Event()

    async def by_text(self, text: str) -> Token:
        token = await super().by_text(text)
        if text == self.held:
            self.has_read.set()
            await self.go_on.wait()
        return token


async def test_what_was_read_before_a_change_is_not_remembered_after_it(database: Database, clock: ManualClock) -> None:
    tokens = SlowStore(database, clock)
    authenticator = Authenticator(tokens, clock)
    ended, other = await tokens.create(ONE, "ended", []), await tokens.create(ONE, "other", [])
    tokens.held = ended.text
    reading = asyncio.create_task(authenticator.authenticate(ended.text))
    await tokens.has_read.wait()
    await tokens.delete(ONE, "ended")
    await authenticator.authenticate(other.text)
    tokens.go_on.set()
    await reading
    with pytest.raises(InvalidToken, match="unknown here"):
        await authenticator.authenticate(ended.text)


async def test_a_jwt_ends_on_time_although_it_was_remembered(
    authenticator: Authenticator, tokens: TokenStore, clock: ManualClock
) -> None:
    text = await visitor(tokens, clock)
    assert (await authenticator.authenticate(text)).token_name == "visitor"
    clock.advance(timedelta(seconds=59))
    assert (await authenticator.authenticate(text)).token_name == "visitor"
    clock.advance(timedelta(seconds=1))
    with pytest.raises(InvalidToken, match="has expired"):
        await authenticator.authenticate(text)


async def test_a_refreshed_admin_token_ends_all_jwts(
    authenticator: Authenticator, tokens: TokenStore, clock: ManualClock
) -> None:
    text = await visitor(tokens, clock)
    await authenticator.authenticate(text)
    await tokens.refresh(ONE, "workspace admin token")
    with pytest.raises(InvalidToken, match="signature of the JWT is wrong"):
        await authenticator.authenticate(text)


async def test_a_jwt_must_be_signed_by_the_workspace_it_names(
    authenticator: Authenticator, tokens: TokenStore, clock: ManualClock
) -> None:
    with pytest.raises(InvalidToken, match="signature of the JWT is wrong"):
        await authenticator.authenticate(await visitor(tokens, clock, workspace=TWO, key_of=ONE))
    with pytest.raises(InvalidToken, match="workspace of the JWT does not exist"):
        await authenticator.authenticate(await visitor(tokens, clock, workspace="absent"))


async def test_a_static_token_must_be_signed_by_the_workspace_it_names(
    authenticator: Authenticator, tokens: TokenStore
) -> None:
    one, two = [await default(tokens, workspace, TokenOrigin.ADMIN) for workspace in (ONE, TWO)]
    mixed = f"{one.rsplit('.', 1)[0]}.{two.rsplit('.', 1)[1]}"
    with pytest.raises(InvalidToken, match="signature is wrong"):
        await authenticator.authenticate(mixed)


async def test_a_fixed_token_need_not_look_like_one(
    authenticator: Authenticator, database: Database, clock: ManualClock
) -> None:
    store = TokenStore(database, clock, FixedTokens("one", {TokenOrigin.WORKSPACE_ADMIN: FIXED}))
    fixed = Authenticator(store, clock)
    assert (await fixed.authenticate(FIXED)).workspace_id == ONE
    assert (await fixed.authenticate(await visitor(store, clock))).token_name == "visitor"
    with pytest.raises(InvalidToken):
        await authenticator.authenticate(FIXED)


async def test_only_so_many_tokens_are_remembered(tokens: TokenStore, clock: ManualClock) -> None:
    authenticator = Authenticator(tokens, clock, remembered_tokens_max=2)
    texts = [(await tokens.create(ONE, name, [])).text for name in "abc"]
    first, second, third = [await authenticator.authenticate(text) for text in texts]
    assert await authenticator.authenticate(texts[1]) is second
    assert await authenticator.authenticate(texts[2]) is third
    again = await authenticator.authenticate(texts[0])
    assert again == first and again is not first


async def test_wrong_tokens_are_not_remembered(authenticator: Authenticator, tokens: TokenStore) -> None:
    remembered = len(authenticator._remembered)
    for text in ("p.ey.x", "eyJh.eyJh.x"):
        with pytest.raises(InvalidToken):
            await authenticator.authenticate(text)
    assert len(authenticator._remembered) == remembered
