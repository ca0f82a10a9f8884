"""Releases in the metadata database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from

from birdhouse.catalog.releases.release import Release, ReleaseStatus
from birdhouse.metadata.schema import releases


def load(connection: Connection, workspace_id: str) -> list[Release]:
    """Newest first."""
    mine = select(releases).where(releases.c.workspace_id == workspace_id)
    return [_release(row) for row in connection.execute(mine.order_by(releases.c.created_at.desc()))]


def load_live(connection: Connection, workspace_id: str) -> Release | None:
    live = select(releases).where(releases.c.workspace_id == workspace_id, releases.c.status == str(ReleaseStatus.LIVE))
    row = connection.execute(live).one_or_none()
    return None if row is None else _release(row)


def add(connection: Connection, workspace_id: str, release: Release) -> None:
    values = {name: getattr(release, name) for name in ("id", "semver", "commit", "created_at")}
    status, datafiles = str(release.status), dict(release.datafiles)
    connection.execute(insert(releases).values(**values, workspace_id=workspace_id, status=status, datafiles=datafiles))


def make_live(connection: Connection, workspace_id: str, live_id: str) -> None:
    """That one and no other of the workspace."""
    mine = releases.c.workspace_id == workspace_id
    connection.execute(update(releases).where(mine).values(status=str(ReleaseStatus.ROLLBACK)))
    connection.execute(update(releases).where(releases.c.id == live_id).values(status=str(ReleaseStatus.LIVE)))


def rename(connection: Connection, release_id: str, semver: str) -> None:
    connection.execute(update(releases).where(releases.c.id == release_id).values(semver=semver))


def delete(connection: Connection, release_id: str) -> None:
    connection.execute(delete_from(releases).where(releases.c.id == release_id))


def _release(row: Row[Any]) -> Release:
    return Release(row.id, row.semver, row.commit, ReleaseStatus(row.status), row.created_at, row.datafiles)
