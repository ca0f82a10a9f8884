"""Tags in the metadata database, each with the resources it is on. They go when the resource goes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select

from birdhouse.errors import InvalidParameter, LimitReached, NameTaken, NotFound
from birdhouse.metadata.database import Database
from birdhouse.metadata.identifiers import new_id
from birdhouse.metadata.schema import resources, tag_resources, tags

TAGS_PER_WORKSPACE_MAX = 1_000
NAME_CHARACTERS_MAX = 250


@dataclass(frozen=True, slots=True)
class TaggedResource:
    id: str
    name: str
    kind: str
    """`datasource` or `pipe`."""


@dataclass(frozen=True, slots=True)
class Tag:
    id: str
    name: str
    resources: tuple[TaggedResource, ...]


class Tags:
    """A tag is found by its name, which may hold blanks and quotes, or by its id. Resources are, too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, workspace_id: str) -> tuple[Tag, ...]:
        """By name."""
        return await self._database.run(lambda connection: _load(connection, workspace_id))

    async def of_resource(self, resource_id: str) -> tuple[str, ...]:
        """The names of the tags on a resource, in the order of the alphabet."""
        query = (
            select(tags.c.name)
            .join(tag_resources, tag_resources.c.tag_id == tags.c.id)
            .where(tag_resources.c.resource_id == resource_id)
            .order_by(tags.c.name)
        )
        return await self._database.run(lambda connection: tuple(connection.execute(query).scalars()))

    async def create(self, workspace_id: str, name: str, resources: Sequence[str] = ()) -> Tag:
        """Raises NameTaken, InvalidParameter, LimitReached, and NotFound for a resource that does not exist."""

        def work(connection: Connection) -> Tag:
            tag_id = _insert(connection, workspace_id, name)
            _replace_resources(connection, workspace_id, tag_id, resources)
            return _get(connection, workspace_id, tag_id)

        return await self._database.run(work)

    async def change(self, workspace_id: str, name_or_id: str, resources: Sequence[str]) -> Tag:
        """The tag is then on these resources and on no others. Raises NotFound."""

        def work(connection: Connection) -> Tag:
            tag = _get(connection, workspace_id, name_or_id)
            _replace_resources(connection, workspace_id, tag.id, resources)
            return _get(connection, workspace_id, tag.id)

        return await self._database.run(work)

    async def add(self, workspace_id: str, name: str, resource: str) -> None:
        """Puts the tag on one resource more, and makes it when there is none of that name. Raises NotFound."""

        def work(connection: Connection) -> None:
            tag = next((each for each in _load(connection, workspace_id) if each.name == name), None)
            tag_id = tag.id if tag else _insert(connection, workspace_id, name)
            resource_id = _resource_id(connection, workspace_id, resource)
            if tag is None or resource_id not in {each.id for each in tag.resources}:
                connection.execute(insert(tag_resources).values(tag_id=tag_id, resource_id=resource_id))

        await self._database.run(work)

    async def delete(self, workspace_id: str, name_or_id: str) -> None:
        """Takes the tag off its resources as well. Raises NotFound."""

        def work(connection: Connection) -> None:
            tag = _get(connection, workspace_id, name_or_id)
            connection.execute(delete(tags).where(tags.c.id == tag.id))

        await self._database.run(work)


def _load(connection: Connection, workspace_id: str) -> tuple[Tag, ...]:
    tagged: dict[str, list[TaggedResource]] = {}
    query = (
        select(tag_resources.c.tag_id, resources.c.id, resources.c.name, resources.c.kind)
        .join(resources, resources.c.id == tag_resources.c.resource_id)
        .where(resources.c.workspace_id == workspace_id)
        .order_by(resources.c.name)
    )
    for row in connection.execute(query):
        tagged.setdefault(row.tag_id, []).append(TaggedResource(row.id, row.name, row.kind))
    named = select(tags.c.id, tags.c.name).where(tags.c.workspace_id == workspace_id).order_by(tags.c.name)
    return tuple(Tag(row.id, row.name, tuple(tagged.get(row.id, ()))) for row in connection.execute(named))


def _get(connection: Connection, workspace_id: str, name_or_id: str) -> Tag:
    for tag in _load(connection, workspace_id):
        if name_or_id in (tag.id, tag.name):
            return tag
    raise NotFound(f"Tag {name_or_id!r} not found")


def _insert(connection: Connection, workspace_id: str, name: str) -> str:
    _refuse_too_many(connection, workspace_id)
    _refuse_name(connection, workspace_id, name)
    tag_id = new_id()
    connection.execute(insert(tags).values(id=tag_id, workspace_id=workspace_id, name=name))
    return tag_id


def _replace_resources(connection: Connection, workspace_id: str, tag_id: str, names_or_ids: Iterable[str]) -> None:
    wanted = dict.fromkeys(_resource_id(connection, workspace_id, each) for each in names_or_ids)
    connection.execute(delete(tag_resources).where(tag_resources.c.tag_id == tag_id))
    if wanted:
        rows = [{"tag_id": tag_id, "resource_id": each} for each in wanted]
        connection.execute(insert(tag_resources), rows)


def _resource_id(connection: Connection, workspace_id: str, name_or_id: str) -> str:
    named = or_(resources.c.id == name_or_id, resources.c.name == name_or_id)
    query = select(resources.c.id).where(resources.c.workspace_id == workspace_id, named)
    found: str | None = connection.execute(query).scalar()
    if found is None:
        raise NotFound(f"Resource {name_or_id!r} not found", hint="A tag is put on data sources and pipes that exist.")
    return found


def _refuse_name(connection: Connection, workspace_id: str, name: str) -> None:
    if not name.strip() or len(name) > NAME_CHARACTERS_MAX:
        raise InvalidParameter(f"The name of a tag has 1 to {NAME_CHARACTERS_MAX} characters.")
    same = select(tags.c.id).where(tags.c.workspace_id == workspace_id, tags.c.name == name)
    if connection.execute(same).first():
        raise NameTaken(f"Tag {name!r} already exists")


def _refuse_too_many(connection: Connection, workspace_id: str) -> None:
    count = select(func.count()).select_from(tags).where(tags.c.workspace_id == workspace_id)
    if connection.execute(count).scalar_one() >= TAGS_PER_WORKSPACE_MAX:
        raise LimitReached(f"A workspace can have {TAGS_PER_WORKSPACE_MAX} tags.")
