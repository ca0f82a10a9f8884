from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from birdhouse.errors import CannotStart
from birdhouse.settings import Settings, load_settings, machine_memory_bytes


@pytest.fixture(autouse=True)
def empty_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"BIRDHOUSE_{name.upper()}", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_in_one_sentence(name: str) -> None:
    description = Settings.model_fields[name].description or ""
    assert description.endswith(".") and description[0].isupper() and "\n" not in description
    assert ". " not in description


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_default(name: str) -> None:
    assert not Settings.model_fields[name].is_required()


def test_options_win_over_the_environment_which_wins_over_the_file_which_wins_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().port == 7181
    Path("birdhouse.toml").write_text("port = 1\nhost = '0.0.0.0'\n")
    assert load_settings().port == 1
    monkeypatch.setenv("BIRDHOUSE_PORT", "2")
    assert load_settings().port == 2
    assert load_settings({"port": 3, "host": None}).port == 3
    assert load_settings({"port": 3, "host": None}).host == "0.0.0.0"


def test_an_empty_environment_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDHOUSE_PORT", "")
    assert load_settings().port == 7181


def test_settings_cannot_be_changed_after_start() -> None:
    with pytest.raises(ValidationError):
        load_settings().port = 1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("prot = 1", "'prot' in birdhouse.toml is not a setting. Did you mean 'port'?"),
        ("query_second_max = 1", "Did you mean 'query_seconds_max'?"),
        ("[server]\nport = 1", "'server' in birdhouse.toml is not a setting."),
        ("port = ", "The settings file birdhouse.toml is not valid TOML."),
        ("port = 70000", "The value 70000 comes from birdhouse.toml."),
        ("log_level = 'loud'", "'log_level' cannot be used"),
        ("workspace_name = 'my space'", "It means: Name of the workspace created at first start."),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_says_why(file: str, says: str) -> None:
    Path("birdhouse.toml").write_text(file)
    with pytest.raises(CannotStart) as caught:
        load_settings()
    assert says in str(caught.value)


def test_an_error_names_the_environment_variable_or_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIRDHOUSE_PORT", "http")
    with pytest.raises(CannotStart, match="'http' comes from the environment variable BIRDHOUSE_PORT"):
        load_settings()
    with pytest.raises(CannotStart, match="-1 comes from an option of the command"):
        load_settings({"port": -1})
    with pytest.raises(CannotStart, match="'prot' in the options is not a setting"):
        load_settings({"prot": 1})


@pytest.mark.parametrize("name", ["user_token", "workspace_admin_token"])
def test_a_fixed_token_is_long_enough_and_never_shown(name: str) -> None:
    with pytest.raises(CannotStart) as caught:
        load_settings({name: "tooshort"})
    assert "tooshort" not in str(caught.value)
    token = "p.eyJ" + "a" * 40
    assert token not in repr(load_settings({name: token}))


def test_the_metadata_database_is_a_file_of_the_data_directory_unless_a_url_is_given(tmp_path: Path) -> None:
    assert load_settings().metadata_database_url == f"sqlite:///{tmp_path}/.birdhouse/metadata.sqlite"
    assert load_settings({"metadata_url": "postgresql://h/d"}).metadata_database_url == "postgresql://h/d"


def test_the_memory_of_a_container_counts_when_it_is_smaller_than_the_machine(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1000000\n")
    assert machine_memory_bytes(limit) == 1_000_000
    limit.write_text("max\n")
    assert machine_memory_bytes(limit) == machine_memory_bytes(tmp_path / "absent") > 1_000_000
