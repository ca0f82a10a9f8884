"""Which server a command talks to: an address, or the name of an environment such as `staging`."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from typing import Annotated

import typer

from birdhouse.client import Client
from birdhouse.errors import InvalidInput

DEFAULT_HOST = "http://127.0.0.1:7181"
HOST_VARIABLE, TOKEN_VARIABLE = "TB_HOST", "TB_TOKEN"

HostOption = Annotated[
    str,
    typer.Option(
        envvar=HOST_VARIABLE,
        help="The server: an address, or a name such as staging for TB_HOST_STAGING and TB_TOKEN_STAGING.",
    ),
]
TokenOption = Annotated[
    str, typer.Option(help="An admin token, else that of the environment: TB_TOKEN; a local server is asked for one.")
]


@dataclass(frozen=True, slots=True)
class Server:
    """`title` is what the user called it."""

    title: str
    host: str
    token: str = field(repr=False)

    def client(self) -> Client:
        return Client(self.host, self.token or local_token(self.host))


def server_at(name: str, token: str = "") -> Server:
    """Without a token that of the environment is taken, if it is meant for this server.

    Raises InvalidInput for a name that no variable stands for.
    """
    if "://" in name:
        return Server(name, name, token or _token_for(name))
    variable = f"{HOST_VARIABLE}_{name.upper()}"
    host = os.environ.get(variable, "")
    if not host:
        raise InvalidInput(f"There is no server '{name}'", hint=_hint(name, variable))
    own_token = os.environ.get(f"{TOKEN_VARIABLE}_{name.upper()}", "")
    return Server(name, host, own_token or _token_for(host))


def default_server() -> Server:
    return server_at(os.environ.get(HOST_VARIABLE) or DEFAULT_HOST)


def local_token(host: str) -> str:
    """The admin token that a server tells callers on its own machine."""
    with Client(host) as client:
        return client.local_tokens()["workspace_admin_token"]


def _token_for(host: str) -> str:
    """TB_TOKEN belongs to TB_HOST: no other server gets to see it."""
    is_meant = os.environ.get(HOST_VARIABLE, host).rstrip("/") == host.rstrip("/")
    return os.environ.get(TOKEN_VARIABLE, "") if is_meant else ""


def _hint(name: str, variable: str) -> str:
    known = [key.removeprefix(f"{HOST_VARIABLE}_").lower() for key in os.environ if key.startswith(f"{HOST_VARIABLE}_")]
    near = difflib.get_close_matches(name.lower(), known, n=1)
    if near:
        return f"Did you mean {near[0]}?"
    return f"Give an address such as {DEFAULT_HOST}, or set {variable} and {TOKEN_VARIABLE}_{name.upper()}."
