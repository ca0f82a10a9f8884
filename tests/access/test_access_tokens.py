from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdhouse.access.tokens import TokenClaims, read_claims, same_text, sign, verify
from birdhouse.errors import InvalidToken

KEY = "the key of the workspace"
CLAIMS = TokenClaims("2d5c8f3e", "91ab", 1)
TEXT = sign(CLAIMS, KEY)

texts = st.text(max_size=40)
claims = st.builds(TokenClaims, texts, texts, st.integers(0, 2**40))


@given(claims, st.text(min_size=1), texts)
def test_a_signed_token_verifies_and_looks_like_one(claims: TokenClaims, key: str, host: str) -> None:
    text = sign(claims, key, host)
    assert verify(text, key) == claims
    assert re.fullmatch(r"p\.ey[A-Za-z0-9-_.]+", text)


@given(st.integers(0, len(TEXT) - 1), st.characters())
def test_no_token_with_a_changed_character_verifies(position: int, character: str) -> None:
    altered = TEXT[:position] + character + TEXT[position + 1 :]
    if altered != TEXT:
        with pytest.raises(InvalidToken):
            verify(altered, KEY)


@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)), st.text(max_size=5))
def test_no_token_with_a_replaced_part_verifies(start: int, end: int, part: str) -> None:
    altered = TEXT[:start] + part + TEXT[end:]
    if altered != TEXT:
        with pytest.raises(InvalidToken):
            verify(altered, KEY)


@given(claims, st.text())
def test_no_token_signed_with_another_key_verifies(claims: TokenClaims, key: str) -> None:
    if key != KEY:
        with pytest.raises(InvalidToken, match="signature"):
            verify(sign(claims, key), KEY)


@given(claims)
def test_a_signature_does_not_fit_other_claims(claims: TokenClaims) -> None:
    body, signature = sign(claims, KEY).rsplit(".", 1)
    if claims != CLAIMS:
        with pytest.raises(InvalidToken):
            verify(f"{TEXT.rsplit('.', 1)[0]}.{signature}", KEY)
        with pytest.raises(InvalidToken):
            verify(f"{body}.{TEXT.rsplit('.', 1)[1]}", KEY)


@given(st.text() | st.text().map(lambda text: "p." + text))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        verify(text, KEY)


@pytest.mark.parametrize(
    "content",
    [None, [], {}, {"u": "a", "id": "b"}, {"u": 1, "id": "b", "g": 1}, {"u": "a", "id": "b", "g": "1"}],
)
def test_a_token_without_its_claims_is_malformed(content: object) -> None:
    body = base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidToken, match="not a token"):
        read_claims(f"p.{body}.signature")


def test_a_deeply_nested_or_endless_text_is_malformed() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 10_000).rstrip(b"=").decode()
    for text in (f"p.{nested}.s", TEXT + "a" * 100_000):
        with pytest.raises(InvalidToken, match="not a token"):
            read_claims(text)


def test_the_host_is_told_to_clients_that_look_for_it() -> None:
    body = sign(CLAIMS, KEY, "http://localhost:7181").split(".")[1]
    content = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    assert content == {"u": "2d5c8f3e", "id": "91ab", "g": 1, "host": "http://localhost:7181"}


def test_texts_that_are_no_ascii_can_be_compared() -> None:
    assert same_text("é", "é")
    assert not same_text("é", "e")
    assert not same_text("\ud800", "é")
