"""Every setting, with its default and one sentence; read once at start.

An option of the command wins over the environment (`BIRDHOUSE_PORT`), which wins over `birdhouse.toml` in the
working directory, which wins over the default.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from birdhouse.errors import CannotStart

FILE = "birdhouse.toml"
ENVIRONMENT_PREFIX = "BIRDHOUSE_"

KB = 1_000
MB = 1_000_000
GB = 1_000_000_000

ENGINE_SHARE_OF_MEMORY = 0.6
FIXED_TOKEN = r"^$|^[A-Za-z0-9._-]{32,}$"
"""A fixed token also signs JWTs, and a key of HS256 needs 32 bytes."""


def machine_memory_bytes(limit_file: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """The machine's memory, or that of the container when it is smaller."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(limit_file.read_text()))
    except (OSError, ValueError):  # no container, or the file says "max"
        return installed


def default_engine_memory_bytes() -> int:
    return int(machine_memory_bytes() * ENGINE_SHARE_OF_MEMORY)


def default_read_workers() -> int:
    """With more, queries that need a core push each other out of its caches; with less, slow ones hold up all."""
    return 1 + (os.cpu_count() or 1)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(7181, ge=0, le=65_535, description="Port the API listens on; 0 lets the system choose one.")
    data_dir: Path = Field(Path(".birdhouse"), description="Directory that holds all state of the server.")
    workspace_name: str = Field(
        "local",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the workspace created at first start.",
    )
    exports_dir: Path | None = Field(
        None, description="Directory that sinks write files below; by default `exports` in the data directory."
    )
    metadata_url: str = Field(
        "",
        repr=False,
        description="URL of the metadata database; empty means a SQLite file in the data directory.",
    )

    event_body_bytes_max: int = Field(10 * MB, gt=0, description="Largest body of one Events API request.")
    upload_bytes_max: int = Field(500 * MB, gt=0, description="Largest file sent in one import request.")
    sql_bytes_max: int = Field(
        256 * KB, gt=0, description="Longest SQL text of a request, before and after templates are rendered."
    )

    query_seconds_max: float = Field(10, gt=0, description="Longest time an endpoint call or SQL query may run.")
    query_memory_bytes_max: int = Field(2 * GB, gt=0, description="Most memory one endpoint call or query may use.")
    query_result_rows_max: int = Field(0, ge=0, description="Most rows one answer may hold; 0 sets no limit.")
    query_result_bytes_max: int = Field(
        100 * MB, gt=0, description="Largest answer that is not streamed, uncompressed."
    )
    stream_seconds_max: float = Field(
        300,
        gt=0,
        description="Longest time a streamed answer (CSV, TSV, NDJSON) may take, its reader's pauses included.",
    )
    query_rows_to_read_max: int = Field(
        0, ge=0, description="Most rows one query may read from storage; 0 sets no limit."
    )

    read_workers: int = Field(
        default_factory=default_read_workers,
        gt=0,
        description="Queries that run at the same time; by default one more than there are cores.",
    )
    write_workers: int = Field(2, gt=0, description="Inserts that run at the same time.")
    job_workers: int = Field(1, gt=0, description="Copies, populates and imports that run at the same time.")
    compile_queries: bool = Field(
        True,
        description="Whether the engine compiles expressions that come again and again, which takes longer than it "
        "gains where tables are small.",
    )
    engine_memory_bytes_max: int = Field(
        default_factory=default_engine_memory_bytes,
        gt=0,
        description="Most memory the whole engine may use; by default 60 % of the machine's or container's.",
    )

    job_seconds_max: float = Field(3_600, gt=0, description="Longest time one statement of a job may run.")
    job_memory_bytes_max: int = Field(4 * GB, gt=0, description="Most memory one statement of a job may use.")
    follow_schedules: bool = Field(
        True, description="Whether copies and sinks run by their schedules; without, they run on demand only."
    )
    jobs_kept_hours: int = Field(48, gt=0, description="How long finished jobs stay in the list of jobs.")

    insert_batch_rows_max: int = Field(
        100_000, gt=0, description="Most rows of events that are written to the engine in one insert."
    )
    insert_batch_bytes_max: int = Field(
        16 * MB, gt=0, description="Most bytes of events that are written to the engine in one insert."
    )

    insert_queued_bytes_max: int = Field(
        256 * MB,
        gt=0,
        description="Most bytes of events that may wait to be written; beyond, senders are told to retry.",
    )

    usage_recorded: bool = Field(
        True, description="Whether requests, operations and jobs are recorded in the service data sources."
    )
    storage_sample_seconds: float = Field(
        600, gt=0, description="How often the size of every data source is recorded in `tinybird.datasources_storage`."
    )

    user_token: str = Field(
        "",
        pattern=FIXED_TOKEN,
        repr=False,
        description="Fixed text of the user token, at least 32 characters; empty means a generated one.",
    )
    workspace_admin_token: str = Field(
        "",
        pattern=FIXED_TOKEN,
        repr=False,
        description="Fixed text of the admin token, at least 32 characters; empty means a generated one.",
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important messages that are still logged."
    )
    shutdown_seconds: float = Field(
        10, ge=0, description="How long a stop waits for running requests and jobs before it ends them."
    )
    parent_process: int = Field(
        0,
        ge=0,
        description="The id of the process that starts the server, when the server is to stop once that one is gone, "
        "however it ended; 0 for none.",
    )

    @property
    def exports_directory(self) -> Path:
        return (self.exports_dir or self.data_dir / "exports").absolute()

    @property
    def metadata_database_url(self) -> str:
        """`metadata_url`, or the SQLite file of the data directory."""
        return self.metadata_url or f"sqlite:///{(self.data_dir / 'metadata.sqlite').absolute()}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_file(Path(FILE)))


def load_settings(overrides: Mapping[str, Any] | None = None) -> Settings:
    """Settings with `overrides` on top; an override of None counts as not given. Raises CannotStart."""
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    _refuse_unknown(given, "the options")
    try:
        return Settings(**given)
    except ValidationError as error:
        raise _cannot_start(error, given) from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise CannotStart(f"The settings file {path} cannot be read.", detail=str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise CannotStart(f"The settings file {path} is not valid TOML.", detail=f"{error}.") from error
    _refuse_unknown(content, str(path))
    return content


def _refuse_unknown(names: Mapping[str, Any], place: str) -> None:
    for name in names:
        if name in Settings.model_fields:
            continue
        nearest = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0)[0]
        raise CannotStart(f"{name!r} in {place} is not a setting.", hint=f"Did you mean {nearest!r}?")


def _cannot_start(error: ValidationError, given: Mapping[str, Any]) -> CannotStart:
    """Names the setting and where its value came from; a value that may be secret is not repeated."""
    first = error.errors()[0]
    name = str(first["loc"][0])
    variable = ENVIRONMENT_PREFIX + name.upper()
    from_environment = next((key for key in os.environ if key.upper() == variable), None)
    if name in given:
        place = "an option of the command"
    elif from_environment:
        place = f"the environment variable {from_environment}"
    else:
        place = FILE
    field = Settings.model_fields[name]
    value = f"{first['input']!r} " if field.repr else ""
    return CannotStart(
        f"The setting {name!r} cannot be used: {first['msg']}.",
        detail=f"The value {value}comes from {place}.",
        hint=f"It means: {field.description}",
    )
