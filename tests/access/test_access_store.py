from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from birdhouse.access import store as module
from birdhouse.access.scopes import ScopeType, parse_scope
from birdhouse.access.store import FixedTokens, Token, TokenOrigin, TokenStore
from birdhouse.clock import ManualClock
from birdhouse.errors import Conflict, InvalidParameter, InvalidToken, LimitReached, NameTaken, NotFound
from birdhouse.metadata import schema
from birdhouse.metadata.database import Database

ONE, TWO = "ws_one", "ws_two"
FIXED = "p.eyFixedByTheSettings" + "x" * 20


def scopes_of(token: Token) -> list[str]:
    return [str(scope) for scope in token.scopes]


async def create(tokens: TokenStore, name: str = "t", *scopes: str, workspace: str = ONE) -> Token:
    return await tokens.create(workspace, name, [parse_scope(scope) for scope in scopes])


async def test_a_token_is_found_by_name_id_and_text(tokens: TokenStore, clock: ManualClock) -> None:
    made = await create(tokens, "t", "DATASOURCES:READ:events:a = 'x'", "PIPES:READ:ep", "TOKENS")
    assert scopes_of(made) == ["DATASOURCES:READ:events:a = 'x'", "PIPES:READ:ep", "TOKENS"]
    assert (made.name, made.description, made.origin, made.generation) == ("t", "", TokenOrigin.CUSTOM, 1)
    assert made.created_at == clock.now()
    assert await tokens.get(ONE, "t") == await tokens.get(ONE, made.id) == await tokens.by_text(made.text) == made


async def test_no_text_and_no_other_secret_of_a_token_is_stored(tokens: TokenStore, database: Database) -> None:
    made = await create(tokens)
    stored = await database.run(lambda c: str(c.execute(select(schema.tokens)).all()))
    assert made.id in stored
    assert made.text not in stored and made.text.rsplit(".", 1)[1] not in stored
    assert made.text not in repr(made)


async def test_workspaces_do_not_see_each_others_tokens(tokens: TokenStore) -> None:
    made = await create(tokens)
    same_name = await create(tokens, workspace=TWO)
    assert made.text != same_name.text
    assert [token.id for token in await tokens.list(TWO)] == [same_name.id]
    with pytest.raises(NotFound, match=f"'{made.id}'"):
        await tokens.get(TWO, made.id)
    with pytest.raises(NotFound):
        await tokens.delete(TWO, made.id)


async def test_tokens_are_listed_in_the_order_they_were_made(tokens: TokenStore, clock: ManualClock) -> None:
    for name in ("b", "c", "a"):
        await create(tokens, name)
        clock.advance(timedelta(microseconds=1))
    assert [token.name for token in await tokens.list(ONE)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("scope", "error", "says"),
    [
        ("DATASOURCES:READ:absent", NotFound, "Resource 'absent' not found"),
        ("DATASOURCES:READ:t_two_events", NotFound, "not found"),
        ("DATASOURCES:READ:ep", InvalidParameter, "cannot be about the pipe 'ep'"),
        ("PIPES:READ:events", InvalidParameter, "cannot be about the datasource 'events'"),
    ],
)
async def test_a_scope_needs_a_resource_of_its_kind_in_the_workspace(
    tokens: TokenStore, scope: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await create(tokens, "t", scope)
    assert await tokens.list(ONE) == ()


async def test_scopes_show_the_name_a_resource_has_today_and_go_with_it(tokens: TokenStore, database: Database) -> None:
    resources = schema.resources
    await create(tokens, "t", "DATASOURCES:READ:t_one_events", "PIPES:READ:ep")
    this = resources.c.id == "t_one_events"
    await database.run(lambda c: c.execute(update(resources).where(this).values(name="renamed")))
    assert scopes_of(await tokens.get(ONE, "t")) == ["DATASOURCES:READ:renamed", "PIPES:READ:ep"]
    await database.run(lambda c: c.execute(delete(resources).where(this)))
    assert scopes_of(await tokens.get(ONE, "t")) == ["PIPES:READ:ep"]


async def test_a_token_outlives_the_resource_it_was_made_for(tokens: TokenStore, database: Database) -> None:
    made = await tokens.create(ONE, "t", [], origin=TokenOrigin.DATASOURCE, resource="events")
    assert made.resource_id == "t_one_events"
    await database.run(lambda c: c.execute(delete(schema.resources)))
    assert (await tokens.get(ONE, "t")).resource_id is None
    assert (await tokens.by_text(made.text)).id == made.id


async def test_a_repeated_scope_is_kept_once(tokens: TokenStore) -> None:
    made = await create(tokens, "t", "PIPES:READ:ep", "PIPES:READ:t_one_ep", "PIPES:READ:ep:a = 1", "PIPES:READ:ep")
    assert scopes_of(made) == ["PIPES:READ:ep", "PIPES:READ:ep:a = 1"]


async def test_a_change_replaces_all_scopes_and_keeps_the_text(tokens: TokenStore) -> None:
    made = await create(tokens, "t", "PIPES:READ:ep", "TOKENS")
    changed = await tokens.change(ONE, "t", scopes=[parse_scope("DATASOURCES:APPEND:events")])
    assert scopes_of(changed) == ["DATASOURCES:APPEND:events"]
    assert changed.text == made.text
    renamed = await tokens.change(ONE, "t", name="u", description="why")
    assert (renamed.name, renamed.description, renamed.scopes) == ("u", "why", changed.scopes)


async def test_a_change_that_fails_changes_nothing(tokens: TokenStore) -> None:
    made = await create(tokens, "t", "PIPES:READ:ep")
    with pytest.raises(NotFound):
        await tokens.change(ONE, "t", name="u", scopes=[parse_scope("PIPES:READ:absent")])
    assert await tokens.get(ONE, "t") == made


async def test_a_name_is_taken_once_in_a_workspace(tokens: TokenStore) -> None:
    await create(tokens, "t")
    await create(tokens, "u")
    with pytest.raises(NameTaken, match="'t' already exists"):
        await create(tokens, "t")
    with pytest.raises(NameTaken, match="'t' already exists"):
        await tokens.change(ONE, "u", name="t")
    assert (await tokens.change(ONE, "u", name="u")).name == "u"


@pytest.mark.parametrize("name", ["", " ", "x" * 251])
async def test_a_name_has_a_length(tokens: TokenStore, name: str) -> None:
    with pytest.raises(InvalidParameter, match="1 to 250 characters"):
        await create(tokens, name)


async def test_the_number_of_tokens_and_scopes_is_limited(tokens: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_PER_WORKSPACE_MAX", 1)
    monkeypatch.setattr(module, "SCOPES_PER_TOKEN_MAX", 2)
    with pytest.raises(InvalidParameter, match="can have 2 scopes"):
        await create(tokens, "t", "TOKENS", "PIPES:CREATE", "PIPES:READ:ep")
    await create(tokens, "t", "TOKENS", "PIPES:CREATE")
    with pytest.raises(LimitReached, match="can have 1 tokens"):
        await create(tokens, "u")


async def test_a_refresh_ends_the_old_text(tokens: TokenStore) -> None:
    made = await create(tokens, "t", "TOKENS")
    fresh = await tokens.refresh(ONE, "t")
    assert (fresh.id, fresh.scopes) == (made.id, made.scopes)
    assert (await tokens.by_text(fresh.text)) == fresh
    with pytest.raises(InvalidToken, match="'t' has a new text"):
        await tokens.by_text(made.text)


async def test_a_deleted_token_is_unknown_even_when_its_name_comes_back(tokens: TokenStore) -> None:
    made = await create(tokens, "t", "PIPES:READ:ep")
    await tokens.delete(ONE, "t")
    again = await create(tokens, "t")
    assert again.scopes == ()
    with pytest.raises(InvalidToken, match="unknown here"):
        await tokens.by_text(made.text)


async def test_a_workspace_gets_its_default_tokens_once(tokens: TokenStore) -> None:
    await tokens.create_defaults(ONE)
    before = {origin: await tokens.default(ONE, origin) for origin in TokenOrigin}
    await tokens.create_defaults(ONE)
    assert {origin: await tokens.default(ONE, origin) for origin in TokenOrigin} == before
    found = {token.name: scopes_of(token) for token in before.values() if token}
    assert found == {
        "workspace admin token": ["ADMIN"],
        "admin local_testing@tinybird.co": ["ADMIN_USER"],
        "user token": ["ADMIN_USER"],
        "create datasource token": ["DATASOURCES:CREATE"],
    }
    assert "user token" not in [token.name for token in await tokens.list(ONE)]
    assert len(await tokens.list(ONE)) == 3
    assert await tokens.default(TWO, TokenOrigin.ADMIN) is None


async def test_default_tokens_that_a_kill_left_out_are_made_later(tokens: TokenStore, database: Database) -> None:
    await tokens.create_defaults(ONE)
    kept = await tokens.default(ONE, TokenOrigin.ADMIN)
    other = schema.tokens.c.origin != TokenOrigin.ADMIN
    await database.run(lambda c: c.execute(delete(schema.tokens).where(other)))
    await tokens.create_defaults(ONE)
    assert await tokens.default(ONE, TokenOrigin.ADMIN) == kept
    assert await tokens.default(ONE, TokenOrigin.WORKSPACE_ADMIN) is not None


async def test_default_tokens_can_be_refreshed_but_not_weakened(tokens: TokenStore) -> None:
    await tokens.create_defaults(ONE)
    name = "workspace admin token"
    with pytest.raises(Conflict, match="cannot be deleted"):
        await tokens.delete(ONE, name)
    with pytest.raises(Conflict, match="cannot be changed"):
        await tokens.change(ONE, name, scopes=[])
    with pytest.raises(Conflict, match="cannot be changed"):
        await tokens.change(ONE, name, name="mine")
    assert (await tokens.change(ONE, name, description="ours")).description == "ours"
    assert (await tokens.refresh(ONE, name)).generation == 2


async def test_a_fixed_text_replaces_the_signed_one_in_its_workspace_only(
    tokens: TokenStore, database: Database, clock: ManualClock
) -> None:
    await tokens.create_defaults(ONE)
    await tokens.create_defaults(TWO)
    signed = await tokens.default(ONE, TokenOrigin.WORKSPACE_ADMIN)
    fixed = FixedTokens("one", {TokenOrigin.WORKSPACE_ADMIN: FIXED, TokenOrigin.USER: ""})
    store = TokenStore(database, clock, fixed)
    found = await store.by_text(FIXED)
    assert (found.workspace_id, found.origin, found.text) == (ONE, TokenOrigin.WORKSPACE_ADMIN, FIXED)
    in_two, user = (
        await store.default(TWO, TokenOrigin.WORKSPACE_ADMIN),
        await store.default(ONE, TokenOrigin.USER),
    )
    assert in_two and in_two.text != FIXED
    assert user and (await store.by_text(user.text)).origin is TokenOrigin.USER
    assert signed
    with pytest.raises(InvalidToken, match="has a new text"):
        await store.by_text(signed.text)
    with pytest.raises(Conflict, match="fixed by a setting"):
        await store.refresh(ONE, found.id)
    with pytest.raises(InvalidToken):
        await store.by_text("")


async def test_a_fixed_text_without_its_workspace_is_refused(database: Database, clock: ManualClock) -> None:
    store = TokenStore(database, clock, FixedTokens("absent", {TokenOrigin.USER: FIXED}))
    with pytest.raises(InvalidToken, match="its workspace does not exist"):
        await store.by_text(FIXED)


@pytest.mark.parametrize("text", ["workspace_admin", "user", "X", ""])
def test_a_client_cannot_ask_for_the_origin_of_a_default_token(text: str) -> None:
    assert TokenOrigin.requested("DS") is TokenOrigin.DATASOURCE
    with pytest.raises(InvalidParameter, match="Use one of C, DS, P, TS"):
        TokenOrigin.requested(text)


async def test_every_scope_type_can_be_stored(tokens: TokenStore) -> None:
    scopes = []
    for type in ScopeType:
        resource = "ep" if type.startswith("PIPES:") else "events"
        scopes.append(f"{type}:{resource}" if type.names_resource else str(type))
    assert scopes_of(await create(tokens, "t", *scopes)) == scopes


async def test_every_change_raises_the_version(tokens: TokenStore, database: Database) -> None:
    seen = [tokens.version]
    await tokens.create_defaults(ONE)
    seen.append(tokens.version)
    await create(tokens)
    seen.append(tokens.version)
    await tokens.change(ONE, "t", description="d")
    seen.append(tokens.version)
    await tokens.refresh(ONE, "t")
    seen.append(tokens.version)
    await tokens.delete(ONE, "t")
    seen.append(tokens.version)
    await tokens.list(ONE)
    assert seen == sorted(set(seen)) and tokens.version == seen[-1]


async def test_tokens_end_with_their_workspace(tokens: TokenStore, database: Database) -> None:
    made = await create(tokens)
    await database.run(lambda c: c.execute(delete(schema.workspaces).where(schema.workspaces.c.id == ONE)))
    with pytest.raises(InvalidToken, match="unknown here"):
        await tokens.by_text(made.text)


async def test_a_token_cannot_be_made_in_an_absent_workspace(tokens: TokenStore) -> None:
    with pytest.raises(Conflict):
        await create(tokens, workspace="absent")


async def test_a_name_that_looks_like_another_tokens_id_does_not_hide_it(
    tokens: TokenStore, database: Database
) -> None:
    first = await create(tokens, "first")
    await create(tokens, first.id)
    assert (await tokens.get(ONE, first.id)).name == "first"
    row = {"id": "t_x", "workspace_id": ONE, "kind": "pipe", "name": "t_one_ep", "datafile": "", "extra": {}}
    times = {"created_at": first.created_at, "updated_at": first.created_at}
    await database.run(lambda c: c.execute(insert(schema.resources).values(**row, **times)))
    assert (await create(tokens, "t", "PIPES:READ:t_one_ep")).scopes[0].resource_id == "t_x"
