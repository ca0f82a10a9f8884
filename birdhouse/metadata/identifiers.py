"""Identifiers and keys: random, and never used twice."""

from __future__ import annotations

import secrets
import uuid

SIGNING_KEY_BYTES = 32


def new_resource_id() -> str:
    """`t_` and 32 hexadecimal digits: the form of data sources, pipes, nodes and engine tables."""
    return f"t_{secrets.token_hex(16)}"


def new_id() -> str:
    """A random UUID in its text form: workspaces, tokens, jobs and tags."""
    return str(uuid.uuid4())


def new_database() -> str:
    """`w_` and 32 hexadecimal digits: the engine's database of a workspace."""
    return f"w_{secrets.token_hex(16)}"


def new_signing_key() -> str:
    """The key of a workspace, with which all its tokens are signed."""
    return secrets.token_urlsafe(SIGNING_KEY_BYTES)
