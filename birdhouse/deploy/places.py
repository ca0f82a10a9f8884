"""Puts an error where it belongs: the node of a pipe or the data source, and the place in its datafile."""

from __future__ import annotations

import re

from birdhouse.catalog.resources import DataSource, Pipe
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import BirdhouseError, DatafileError, SqlError
from birdhouse.language.datafile.model import Node
from birdhouse.language.datafile.places import NodePlaces, Spot, node_places, places_in_sql, word_place
from birdhouse.language.template import is_template
from birdhouse.query.locate import in_known_names

_FUNCTION = re.compile(r"There is no function ([\w.]+\w)")
_LINE = re.compile(r"(?:\bline |<string>:)(\d+)(?:, column (\d+))?")


def in_node(error: BirdhouseError, workspace: Workspace, pipe: Pipe, node: Node, file: str) -> BirdhouseError:
    """The error with its node and its place: in the file, or without one in the text of the node."""
    places = node_places(pipe.text, file, node.name) if file else places_in_sql(node.sql)
    told = _told_spot(error, node, places)
    spot = told or places.of_word(_named(error))
    where = "" if file else _in_words(spot.line, told.column if told else 0)
    message = f"{in_known_names(error.message, workspace)} (in node '{node.name}' of pipe '{pipe.name}'{where})"
    placed: BirdhouseError = DatafileError(message, hint=error.hint)
    if isinstance(error, SqlError):
        placed = SqlError(message, code=error.code, name=error.name, hint=error.hint)
    if file:
        placed.at(*spot)
    placed.__cause__ = error
    return placed


def _told_spot(error: BirdhouseError, node: Node, places: NodePlaces) -> Spot | None:
    """Where the error says, unless it speaks of another text than the one that was written."""
    if isinstance(error, SqlError) and (error.code or is_template(node.sql)):
        return None
    found = _LINE.search(f"{error.detail} {error.message}")
    return places.at(int(found[1]), int(found[2] or 0)) if found else None


def _in_words(line: int, column: int) -> str:
    return (f", line {line}" if line else "") + (f", column {column}" if line and column else "")


def spot_of_name(name: str, pipe: Pipe, node: Node, file: str) -> Spot:
    """Where a node names something."""
    places = node_places(pipe.text, file, node.name) if file else places_in_sql(node.sql)
    return places.of_word(name)


def in_datasource(error: BirdhouseError, datasource: DataSource, file: str) -> DatafileError:
    placed = DatafileError(f"Data Source '{datasource.name}': {error.message}", hint=error.hint)
    return placed.at(*word_place(datasource.text, file, _named(error))) if file else placed


def _named(error: BirdhouseError) -> str:
    """The word that the error is about, as far as it names one."""
    function = _FUNCTION.search(error.message)
    return function[1] if function else error.quoted_word if isinstance(error, SqlError) else ""
