"""What a workspace may be called."""

from __future__ import annotations

import re

from birdhouse.deploy.deployer import SERVICE_WORKSPACE
from birdhouse.errors import InvalidParameter

NAME_CHARACTERS_MAX = 100

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{NAME_CHARACTERS_MAX - 1}}}")


def refuse_workspace_name(name: str) -> None:
    """Raises InvalidParameter."""
    if name == SERVICE_WORKSPACE or _NAME.fullmatch(name) is None:
        raise InvalidParameter(
            f"{name!r} cannot be the name of a workspace.",
            hint=f"Use up to {NAME_CHARACTERS_MAX} letters, digits and underscores, not beginning with a digit.",
        )
