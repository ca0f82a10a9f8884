"""Backups on disk: a folder each, with the engine's own backup of the rows and two documents of ours.

    NAME/backup.json      what it is a backup of, of which moment, and what each table must hold
    NAME/metadata.json    the rows of the metadata database
    NAME/rows/            what the engine's BACKUP wrote

A backup is made under another name and gets its own in one step, so a folder with a name is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from birdhouse.errors import BirdhouseError, BrokenBackup, Conflict, InUse, InvalidParameter, NotFound, StorageFull
from birdhouse.metadata.rows import Rows

NAME_CHARACTERS_MAX = 100
LISTED_MAX = 1000
SUMMARY = "backup.json"
METADATA = "metadata.json"
ROWS = "rows"
MAKING = ".making-"
REMOVING = ".removing-"

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{NAME_CHARACTERS_MAX - 1}}}")


@dataclass(frozen=True, slots=True)
class StoredTable:
    """`checksum` is over the parts as they are stored; `datasource` is what people call the table."""

    table: str
    datasource: str
    rows: int
    bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class Backup:
    """`base` is the backup that has the parts which this one does not repeat. Times are texts in UTC."""

    name: str
    job_id: str
    workspace_id: str
    workspace_name: str
    created_at: str
    tables: tuple[StoredTable, ...]
    migrations: tuple[int, ...]
    metadata_sha256: str
    birdhouse: str
    engine: str
    base: str | None = None
    held_seconds: float = 0.0
    size_bytes: int = 0
    verified_at: str | None = None
    """When its rows were read back and compared; None when they never were."""

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def bytes(self) -> int:
        return sum(table.bytes for table in self.tables)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A folder that has the name of a backup and is none that can be read."""

    name: str
    reason: str


_BACKUP = TypeAdapter(Backup)
_ROWS = TypeAdapter(Rows)


class Archives:
    """The folder of backups; `engine_directory` is where restored rows go.

    All calls block; those that go through files of rows (`all`, `begin`, `finish`, `remove`) belong on a thread.
    """

    def __init__(self, directory: Path, engine_directory: Path) -> None:
        self._directory = directory
        self._engine_directory = engine_directory
        self._in_use: Counter[str] = Counter()

    def clean(self) -> None:
        """Removes what a kill left half made or half removed."""
        for pattern in (f"{MAKING}*", f"{REMOVING}*"):
            for path in self._directory.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def all(self) -> list[Backup | Damaged]:
        """Newest first, damaged ones last; no more than 1000."""
        names = sorted(path.name for path in self._directory.glob("*") if path.is_dir() and is_name(path.name))
        found: list[Backup | Damaged] = []
        for name in names[:LISTED_MAX]:
            try:
                found.append(self.get(name))
            except BirdhouseError as error:
                found.append(Damaged(name, str(error)))
        return sorted(found, key=lambda each: each.created_at if isinstance(each, Backup) else "", reverse=True)

    def get(self, name: str) -> Backup:
        """Raises NotFound, or BrokenBackup when its document cannot be read or the backup it builds on is gone."""
        refuse_name(name)
        folder = self._directory / name
        if not folder.is_dir():
            raise NotFound(f"There is no backup '{name}'", hint="`birdhouse backup list` names those that are there.")
        try:
            backup = _BACKUP.validate_json((folder / SUMMARY).read_bytes())
        except (OSError, ValidationError) as error:
            raise broken(name, f"{SUMMARY} cannot be read") from error
        backup = replace(backup, name=name)
        if backup.base is not None and not (self._directory / backup.base / ROWS).is_dir():
            raise broken(name, f"it builds on the backup '{backup.base}', which is not there")
        return backup

    def metadata(self, backup: Backup) -> Rows:
        """Raises BrokenBackup unless the document is the one that was written."""
        try:
            content = (self._directory / backup.name / METADATA).read_bytes()
            if hashlib.sha256(content).hexdigest() != backup.metadata_sha256:
                raise broken(backup.name, f"{METADATA} was changed")
            return _ROWS.validate_json(content)
        except (OSError, ValidationError) as error:
            raise broken(backup.name, f"{METADATA} cannot be read") from error

    def refuse_taken(self, name: str) -> None:
        refuse_name(name)
        if (self._directory / name).exists():
            raise Conflict(f"There is already a backup '{name}'", hint="Choose another name, or remove it first.")

    def begin(self, job_id: str) -> str:
        """An empty folder in which a job makes its backup; what it left there before is gone. Its name."""
        name = f"{MAKING}{job_id}"
        with _written():
            shutil.rmtree(self._directory / name, ignore_errors=True)
            (self._directory / name).mkdir(parents=True, mode=0o700)
        return name

    def location(self, name: str) -> str:
        """Where the engine finds the rows, as it names it."""
        return f"File('{name}/{ROWS}')"

    def keep_metadata(self, folder: str, rows: Rows) -> str:
        """The checksum of what was written."""
        content = orjson.dumps(rows)
        with _written():
            _write(self._directory / folder / METADATA, content)
        return hashlib.sha256(content).hexdigest()

    def finish(self, folder: str, backup: Backup) -> Backup:
        """Gives the backup its name, once all of it is on disk."""
        self.refuse_taken(backup.name)
        made = self._directory / folder
        with _written():
            backup = replace(backup, size_bytes=_size_bytes(made))
            _write(made / SUMMARY, _BACKUP.dump_json(backup, indent=2))
            os.sync()  # the engine does not flush the files of a backup
            made.rename(self._directory / backup.name)
            _flush(self._directory)
        return backup

    def abandon(self, job_id: str) -> None:
        shutil.rmtree(self._directory / f"{MAKING}{job_id}", ignore_errors=True)

    def remove(self, name: str) -> None:
        """Raises InUse while a job reads it, and when another backup builds on it."""
        refuse_name(name)
        if not (self._directory / name).is_dir():
            raise NotFound(f"There is no backup '{name}'")
        if self._in_use[name]:
            raise InUse(f"The backup '{name}' is being read by a job.", hint="Wait until it is done, or cancel it.")
        if above := [each.name for each in self.all() if isinstance(each, Backup) and each.base == name]:
            raise InUse(f"The backup '{name}' is the base of: {', '.join(above)}", hint="Remove them first.")
        gone = self._directory / f"{REMOVING}{name}"
        shutil.rmtree(gone, ignore_errors=True)
        (self._directory / name).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    @contextmanager
    def in_use(self, name: str | None) -> Iterator[None]:
        """The backup cannot be removed while the body runs, nor can those it builds on."""
        names = self._with_bases(name)
        self._in_use.update(names)
        try:
            yield
        finally:
            self._in_use.subtract(names)

    def _with_bases(self, name: str | None) -> list[str]:
        found: list[str] = []
        while name is not None and name not in found:
            found.append(name)
            name = self.get(name).base
        return found

    def rows_size_bytes(self, folder: str) -> int:
        return _size_bytes(self._directory / folder / ROWS)

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self._directory).free

    @property
    def engine_free_bytes(self) -> int:
        return shutil.disk_usage(self._engine_directory).free


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def refuse_name(name: str) -> None:
    """A name is one of a folder here and nothing else. Raises InvalidParameter."""
    if not is_name(name):
        raise InvalidParameter(
            f"{name!r} cannot be the name of a backup.",
            hint=f"Use up to {NAME_CHARACTERS_MAX} letters, digits and the signs . _ - behind a letter or digit.",
        )


def broken(name: str, reason: str) -> BrokenBackup:
    return BrokenBackup(
        f"The backup '{name}' is damaged: {reason}.",
        hint="Nothing was changed. Restore another one, or copy this one again from where it is whole.",
    )


@contextmanager
def _written() -> Iterator[None]:
    """Files that cannot be written are told as what they are."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from error
        raise Conflict("The backup cannot be written.", detail=f"({error})") from error


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        path.chmod(0o600)  # it has signing keys
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
