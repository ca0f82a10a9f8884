"""Conditions that a request brings for the rows of one data source."""

from __future__ import annotations

from birdhouse.catalog.workspace import Workspace
from birdhouse.language.sql.statements import check_select
from birdhouse.query.compose import Composer


def checked_condition(workspace: Workspace, text: str, *, services: Workspace | None = None) -> str:
    """The condition over physical tables; it is 0 where the text gives NULL.

    It may read resources of the workspace in subqueries. Raises SqlError for anything but one expression.
    """
    # A text that closes a parenthesis of one of these forms breaks the other.
    check_select(f"SELECT ({text}\n)")
    sql = Composer(workspace, {}, services=services).select(f"SELECT coalesce(({text}\n), 0)").sql
    return check_select(sql).sql.removeprefix("SELECT ")
