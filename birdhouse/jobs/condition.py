"""Conditions that a request brings for the rows of one data source."""

from __future__ import annotations

from birdhouse.catalog.workspace import Workspace
from birdhouse.language.sql.statements import check_select
from birdhouse.query.compose import Composer

EXPRESSION = "({}\n)"
CONDITION = "coalesce(({}\n), 0)"


def checked_condition(workspace: Workspace, text: str, *, services: Workspace | None = None) -> str:
    """The condition over physical tables; it is 0 where the text gives NULL.

    It may read resources of the workspace in subqueries. Raises SqlError for anything but one expression.
    """
    return checked_expression(workspace, text, services=services, form=CONDITION)


def checked_expression(
    workspace: Workspace, text: str, *, services: Workspace | None = None, form: str = EXPRESSION
) -> str:
    """An expression for the rows of one data source, put into `form`, over physical tables. Raises SqlError."""
    # A text that closes a parenthesis of one of these forms breaks the other.
    for each in (CONDITION, EXPRESSION):
        check_select(f"SELECT {each.format(text)}")
    sql = Composer(workspace, {}, services=services).select(f"SELECT {form.format(text)}").sql
    return check_select(sql).sql.removeprefix("SELECT ")
