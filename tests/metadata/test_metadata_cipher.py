from __future__ import annotations

from pathlib import Path

import pytest

from birdhouse.errors import CannotStart, Conflict
from birdhouse.metadata.cipher import Cipher


def test_a_text_comes_back_and_is_not_to_be_seen(tmp_path: Path) -> None:
    cipher = Cipher.open(tmp_path / "secrets.key")
    sealed = cipher.sealed("hush ö")
    assert "hush" not in sealed and sealed != cipher.sealed("hush ö")
    assert Cipher.open(tmp_path / "secrets.key").opened(sealed) == "hush ö"


def test_the_key_is_for_its_owner_alone_and_is_made_once(tmp_path: Path) -> None:
    Cipher.open(tmp_path / "secrets.key")
    key = (tmp_path / "secrets.key").read_bytes()
    assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600
    Cipher.open(tmp_path / "secrets.key")
    assert (tmp_path / "secrets.key").read_bytes() == key
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.key"]


def test_a_start_that_was_interrupted_leaves_no_key_without_content(tmp_path: Path) -> None:
    (tmp_path / "secrets.unfinished").write_bytes(b"")
    assert Cipher.open(tmp_path / "secrets.key").opened(Cipher.open(tmp_path / "secrets.key").sealed("x")) == "x"


def test_another_key_and_a_changed_text_are_told(tmp_path: Path) -> None:
    sealed = Cipher.open(tmp_path / "a.key").sealed("hush")
    for wrong, text in (
        (Cipher.open(tmp_path / "b.key"), sealed),
        (Cipher.open(tmp_path / "a.key"), sealed[:-4] + "AAA="),
    ):
        with pytest.raises(Conflict, match="another key") as refused:
            wrong.opened(text)
        assert "set the secret again" in refused.value.hint


def test_a_file_that_is_no_key_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "secrets.key").write_text("not a key")
    with pytest.raises(CannotStart, match="cannot be read"):
        Cipher.open(tmp_path / "secrets.key")
