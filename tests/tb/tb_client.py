"""The unmodified official client, driven as a user does: in a project folder, with a home of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.flow_server import Server

from docs.client_commands import note_call

REPOSITORY = Path(__file__).parent.parent.parent
CLIENT = REPOSITORY / ".tb-venv" / "bin" / "tb"
WITH_LRU = REPOSITORY / ".tb-venv" / "with-lru"
"""The package `lru-dict`, which the client does not ask for: with it the client parses SQL itself."""
COMMAND_SECONDS_MAX = 300.0


@dataclass(frozen=True)
class Outcome:
    """What a command printed, on both outputs together, and its exit code."""

    code: int
    output: str


@dataclass(frozen=True)
class Tb:
    """`tb("push", "--force")` runs the client in `folder`."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str, code: int = 0, typed: str = "") -> str:
        """The output of a command that is expected to end with `code`."""
        outcome = self.run(*arguments, typed=typed)
        assert outcome.code == code, f"tb {' '.join(arguments)} ended with {outcome.code}:\n{outcome.output}"
        return outcome.output

    def run(self, *arguments: str, typed: str = "") -> Outcome:
        """Any ending that is the client's own will do; `typed` is what the user answers to prompts."""
        outcome = self.shell([str(CLIENT), *arguments], typed=typed)
        assert "Traceback (most recent call last)" not in outcome.output, outcome.output
        note_call(arguments, outcome.code)
        return outcome

    def shell(self, command: list[str], typed: str = "") -> Outcome:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(self.environment),
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def write(self, files: Mapping[str, str]) -> None:
        """Files of the project, by path."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")

    def with_lru(self) -> Tb:
        """The same client with the optional package."""
        assert (WITH_LRU / "lru").is_dir(), "`make test` installs it"
        return Tb(self.folder, {**self.environment, "PYTHONPATH": str(WITH_LRU)})

    def signed_in(self, server: Server) -> Tb:
        """The same client for another server."""
        environment = {**self.environment, "TB_HOST": server.url, "TB_TOKEN": server.admin_token}
        return Tb(self.folder, environment)
