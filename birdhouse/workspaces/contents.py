"""What the tables of a database hold, part by part, and whether it can be read."""

from __future__ import annotations

from dataclasses import dataclass

from birdhouse.engine.protocol import Engine
from birdhouse.engine.types import Lane, Limits, Query, TableName, quote_string
from birdhouse.workspaces.archive import Backup, broken
from birdhouse.workspaces.snapshot import rows_of


@dataclass(frozen=True, slots=True)
class Content:
    """`checksum` is the same for equal parts, whatever they are called."""

    rows: int
    bytes: int
    checksum: str


async def contents(engine: Engine, database: str) -> dict[str, Content]:
    """Of each table that has rows."""
    parts = "arraySort(groupArray(concat(partition_id, ' ', toString(rows), ' ', hash_of_all_files)))"
    sql = (
        f"SELECT table, sum(rows), sum(bytes_on_disk), lower(hex(MD5(arrayStringConcat({parts}, ',')))) "
        f"FROM system.parts WHERE active AND database = {quote_string(database)} GROUP BY table"
    )
    return {
        table: Content(int(rows), int(size), checksum) for table, rows, size, checksum in await rows_of(engine, sql)
    }


async def refuse_damage(engine: Engine, backup: Backup, database: str, limits: Limits) -> None:
    """Compares a database that was restored from a backup, and reads every byte of it. Raises BrokenBackup."""
    found = await contents(engine, database)
    for table in backup.tables:
        if found.get(table.table) != Content(table.rows, table.bytes, table.checksum):
            rows = found[table.table].rows if table.table in found else 0
            raise broken(
                backup.name, f"it should have {table.rows} rows of '{table.datasource}', and has {rows} or others"
            )
    for table in backup.tables:
        await _check(engine, backup, TableName(database, table.table), table.datasource, limits)


async def _check(engine: Engine, backup: Backup, table: TableName, name: str, limits: Limits) -> None:
    check = Query(f"CHECK TABLE {table}", "TSV", limits=limits, lane=Lane.JOB)
    for line in (await engine.select(check)).body.decode().splitlines():
        part, is_passed, *reason = line.split("\t")
        if is_passed != "1":
            raise broken(backup.name, f"rows of '{name}' cannot be read (part {part}: {' '.join(reason)})")
