"""What it takes to turn one data source definition into another in place, and what cannot be done in place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from birdhouse.catalog.resources import DataSource
from birdhouse.deploy import ddl
from birdhouse.errors import InvalidInput
from birdhouse.ingest.quarantine import ingested
from birdhouse.language.datafile.model import Column, DataSourceDefinition, TableEngine
from birdhouse.language.datafile.types import ColumnType, parse_type

RECREATE_HINT = "Use `birdhouse evolve`: it writes the rows again beside the table, then exchanges the two."


@dataclass(frozen=True, slots=True)
class Alteration:
    """`text` is what the user reads; `changes` are statements, each with the one that takes it back."""

    text: str
    changes: tuple[tuple[str, str], ...] = ()


def alterations(datasource: DataSource, new: DataSourceDefinition) -> list[Alteration]:
    """The changes in the order they are made; empty when only the text differs.

    Raises InvalidInput for a change that would rewrite keys or lose data.
    """
    old = datasource.definition
    _refuse_key_changes(old, new)
    return [
        *_column_changes(datasource, new),
        *_ttl_change(datasource, new),
        *_index_changes(datasource, new),
        *_description_change(old, new),
    ]


def _refuse_key_changes(old: DataSourceDefinition, new: DataSourceDefinition) -> None:
    before, after = _fixed(old.engine), _fixed(new.engine)
    if before == after:
        return
    name = next(key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key))
    label = "ENGINE" if name == "engine" else f"ENGINE_{name.upper()}"
    raise InvalidInput(
        f"{label} of '{old.name}' cannot be changed in place",
        detail=f"({before.get(name) or 'none'} to {after.get(name) or 'none'})",
        hint=RECREATE_HINT,
    )


def _fixed(engine: TableEngine | None) -> dict[str, str]:
    engine = engine or TableEngine("MergeTree")
    options = {key: " ".join(value.split()) for key, value in engine.options.items() if key != "ttl" and value.strip()}
    return {"engine": engine.name} | options


def _column_changes(datasource: DataSource, new: DataSourceDefinition) -> Iterator[Alteration]:
    old_columns = {column.name: column for column in datasource.definition.columns}
    new_names = {column.name for column in new.columns}
    dropped = [name for name in old_columns if name not in new_names]
    if dropped:
        raise InvalidInput(
            f"Column '{dropped[0]}' of '{new.name}' cannot be dropped in place: its data would be lost",
            hint=RECREATE_HINT,
        )
    before: list[Column] = []
    for column in new.columns:
        old = old_columns.get(column.name)
        if old is None:
            yield _added(datasource, column, before)
        elif old != column:
            yield _modified(datasource, old, column)
        before.append(column)


def _added(datasource: DataSource, column: Column, before: list[Column]) -> Alteration:
    """The quarantine table gets the column too, unless rows bring no value for it."""
    after = before[-1].name if before else None
    table, quarantine = datasource.table, datasource.quarantine
    changes = [(ddl.add_column(table, column, after), ddl.drop_column(table, column.name))]
    if ingested([column]):
        misfit = Column(column.name, "Nullable(String)")
        after = next((each.name for each in reversed(ingested(before))), None)
        changes.append((ddl.add_column(quarantine, misfit, after), ddl.drop_column(quarantine, column.name)))
    return Alteration(f"ADD COLUMN {ddl.column_clause(column)}", tuple(changes))


def _modified(datasource: DataSource, old: Column, new: Column) -> Alteration:
    if old.type != new.type and not _widens(old.type, new.type):
        raise InvalidInput(
            f"The type of column '{new.name}' of '{datasource.name}' cannot be changed in place",
            detail=f"({old.type} to {new.type})",
            hint=RECREATE_HINT,
        )
    if (old.type, old.default_kind, old.default, old.codec) == (
        new.type,
        new.default_kind,
        new.default,
        new.codec,
    ):
        return Alteration(f"MODIFY COLUMN `{new.name}` JSONPATH {new.jsonpath or 'none'}")
    back = ddl.modify_column(datasource.table, old)
    changes = [(ddl.modify_column(datasource.table, new), back)]
    if old.default_kind is not None and new.default_kind is None:
        changes.insert(0, (ddl.remove_default(datasource.table, new.name, old.default_kind), back))
    return Alteration(f"MODIFY COLUMN {ddl.column_clause(new)}", tuple(changes))


def _widens(old: str, new: str) -> bool:
    """Whether every value of the old type has a place in the new one: only nullability and dictionaries change."""
    before, after = parse_type(old), parse_type(new)
    if before.nullable and not after.nullable:
        return False
    return _bare(before) == _bare(after)


def _bare(type_: ColumnType) -> ColumnType:
    return replace(type_, nullable=False, low_cardinality=False)


def _ttl_change(datasource: DataSource, new: DataSourceDefinition) -> Iterator[Alteration]:
    before, after = _ttl(datasource.definition), _ttl(new)
    if before == after:
        return
    text = f"MODIFY TTL {after}" if after else "REMOVE TTL"
    yield Alteration(text, ((ddl.modify_ttl(datasource.table, after), ddl.modify_ttl(datasource.table, before)),))


def _ttl(definition: DataSourceDefinition) -> str | None:
    return (definition.engine.options.get("ttl", "").strip() if definition.engine else "") or None


def _index_changes(datasource: DataSource, new: DataSourceDefinition) -> Iterator[Alteration]:
    old = {index.name: index for index in datasource.definition.indexes}
    wanted = {index.name: index for index in new.indexes}
    for name, index in old.items():
        if wanted.get(name) != index:
            change = (ddl.drop_index(datasource.table, name), ddl.add_index(datasource.table, index))
            yield Alteration(f"DROP INDEX `{name}`", (change,))
    for name, index in wanted.items():
        if old.get(name) != index:
            change = (ddl.add_index(datasource.table, index), ddl.drop_index(datasource.table, name))
            yield Alteration(f"ADD INDEX `{name}` {index.expression} TYPE {index.type}", (change,))


def _description_change(old: DataSourceDefinition, new: DataSourceDefinition) -> Iterator[Alteration]:
    if old.description != new.description:
        yield Alteration("MODIFY DESCRIPTION")
