"""Evolving a data source: a definition its table cannot get in place, or a column that old rows are to be given.

What is to happen is an `Evolution`, a value: a dry run tells its steps, `evolve_job.py` takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from birdhouse.catalog.catalog import Catalog
from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.clock import Clock
from birdhouse.deploy.alter import Alteration, alterations
from birdhouse.deploy.check import DraftCheck
from birdhouse.deploy.conversion import Conversion, Wishes, conversions, dropped
from birdhouse.deploy.deployer import SERVICE_WORKSPACE, refuse
from birdhouse.deploy.draft import Desired, make_draft
from birdhouse.engine.protocol import Engine
from birdhouse.engine.tables import describe_select
from birdhouse.engine.types import Lane, Limits, Query, quote_identifier
from birdhouse.errors import DeploymentRefused, InvalidInput, LimitReached, NameTaken, NothingToAlter, SqlError
from birdhouse.ingest.quarantine import quarantine_columns
from birdhouse.jobs.condition import checked_expression
from birdhouse.jobs.staging import size
from birdhouse.language.datafile.check import check as check_definition
from birdhouse.language.datafile.model import DataSourceDefinition, TableEngine
from birdhouse.language.datafile.parse import examine

NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Asked:
    """`text` is the new datafile, or empty for the one it has; `fills` and `drops` as in `conversion.Wishes`.

    `keep` is the name that the old rows keep as a data source; empty gives them up.
    """

    text: str = ""
    file: str = ""
    fills: Mapping[str, str] = field(default_factory=dict)
    drops: Sequence[str] = ()
    keep: str = ""


@dataclass(frozen=True, slots=True)
class Evolution:
    before: Workspace
    datasource: DataSource
    """As it is now."""
    new: DataSource
    in_place: tuple[Alteration, ...] | None
    """What an alteration can do; None when the rows have to be written again."""
    columns: tuple[Conversion, ...] = ()
    dropped: tuple[str, ...] = ()
    rows: int = 0
    keep: str = ""

    @property
    def is_in_place(self) -> bool:
        return self.in_place is not None

    @property
    def quarantine_columns(self) -> tuple[str, ...] | None:
        """The columns that both quarantine tables have; None when they are the same, so that it can stay."""
        old, new = (
            [column.name for column in quarantine_columns(each.definition.columns)]
            for each in (self.datasource, self.new)
        )
        return None if set(old) == set(new) else tuple(name for name in new if name in old)

    @property
    def steps(self) -> tuple[str, ...]:
        """In words, in their order."""
        name = self.datasource.name
        if self.in_place is not None:
            return tuple(f"alter data source {name}: {each.text}" for each in self.in_place)
        return (
            f"make a table for the new '{name}' beside the old one ({_keys(self.new.definition)})",
            *(each.text for each in self.columns if each.text),
            *(f"drop `{column}` with its values" for column in self.dropped),
            f"copy {self.rows:,} rows; rows that arrive meanwhile go into the old table and are collected, and follow",
            "hold inserts for a moment, copy the last rows, let the two tables change places",
            f"keep the old rows as data source {self.keep}" if self.keep else "drop the old table",
        )


class Evolver:
    def __init__(self, engine: Engine, catalog: Catalog, clock: Clock) -> None:
        self._engine = engine
        self._catalog = catalog
        self._clock = clock

    async def plan(
        self, workspace_id: str, name: str, asked: Asked, *, lane: Lane = Lane.READ, limits: Limits = NO_LIMITS
    ) -> Evolution:
        """Changes nothing. Raises what stands in the way, NothingToAlter when it is so already.

        `lane` and `limits` are for the look at all old values; what a job may take a request may not.
        """
        before = self._catalog.workspace(workspace_id)
        datasource = before.datasource(name)
        new = replace(datasource, definition=_definition(datasource, asked), text=asked.text or datasource.text)
        if new.definition == datasource.definition and new.text == datasource.text and not asked.fills:
            raise NothingToAlter
        await self._refuse_problems(before, new, asked.file)
        in_place = _in_place(datasource, new) if not asked.fills and not asked.keep else None
        if in_place is not None:
            return Evolution(before, datasource, new, in_place)
        _refuse_keep(before, datasource, asked.keep)
        fills = {column: self._fill(before, column, text) for column, text in asked.fills.items()}
        columns = conversions(
            datasource.definition, new.definition, Wishes(fills, asked.drops, keeps_old=bool(asked.keep))
        )
        await self._refuse_wrong_fills(datasource, columns)
        try:
            await self._refuse_misfits(datasource, columns, lane, limits)
        except LimitReached:
            if lane is Lane.JOB:
                raise
            # Too many rows to look at before an answer: the job looks first.
        rows = (await size(self._engine, datasource.table)).rows
        gone = tuple(dropped(datasource.definition, new.definition))
        return Evolution(before, datasource, new, None, tuple(columns), gone, rows, asked.keep)

    async def _refuse_problems(self, before: Workspace, new: DataSource, file: str) -> None:
        """Checks the new table, and every pipe that reads or writes it, on an empty one."""
        draft, found = make_draft(before, [Desired(new.definition, new.text, file)], self._clock.now())
        refuse(found)
        writers = tuple(pipe.name for pipe in before.writers(new.name))
        draft = replace(draft, changed=(new.name, *writers))
        check = DraftCheck(self._engine, self._catalog.named(SERVICE_WORKSPACE), draft, self._clock.now())
        await check.run()
        refuse(check.problems)

    def _fill(self, before: Workspace, column: str, text: str) -> str:
        try:
            return checked_expression(before, text, services=self._catalog.named(SERVICE_WORKSPACE))
        except SqlError as error:
            raise SqlError(
                f"The column '{column}' cannot be filled with that: {error.message}", hint=error.hint
            ) from error

    async def _refuse_misfits(
        self, datasource: DataSource, columns: Sequence[Conversion], lane: Lane, limits: Limits
    ) -> None:
        """Raises InvalidInput for old values that have no place in the new type."""
        doubtful = [each for each in columns if each.misfit]
        if not doubtful:
            return
        facts = (
            f"countIf({each.misfit}), toString(anyIf({quote_identifier(each.column)}, {each.misfit}))"
            for each in doubtful
        )
        sql = f"SELECT {', '.join(facts)} FROM {datasource.table}"
        found = orjson.loads(
            (await self._engine.select(Query(sql, "JSONCompactEachRow", limits=limits, lane=lane))).body
        )
        for each, count, example in zip(doubtful, found[::2], found[1::2], strict=True):
            if int(count):
                raise InvalidInput(
                    f"{int(count):,} values of '{each.column}' do not fit: {each.text}",
                    detail=f"(one of them is {example!r})",
                    hint=f"Say what becomes of them: --fill '{each.column}=EXPRESSION'.",
                )

    async def _refuse_wrong_fills(self, datasource: DataSource, columns: Sequence[Conversion]) -> None:
        for each in columns:
            if each.expression:
                try:
                    await describe_select(self._engine, f"SELECT {each.expression} FROM {datasource.table}")
                except SqlError as error:
                    raise SqlError(
                        f"The column '{each.column}' cannot be made: {error.message}", hint=error.hint
                    ) from error


def _definition(datasource: DataSource, asked: Asked) -> DataSourceDefinition:
    """The new one, under the name that the data source has. Raises DeploymentRefused with all that is wrong with it."""
    if not asked.text:
        return datasource.definition
    definition, found = examine(asked.text, asked.file or f"{datasource.name}.datasource")
    if found:
        raise DeploymentRefused(found)
    if not isinstance(definition, DataSourceDefinition):
        raise InvalidInput(f"'{asked.file}' is not the datafile of a data source")
    return replace(definition, name=datasource.definition.name, version=datasource.definition.version)


def _in_place(datasource: DataSource, new: DataSource) -> tuple[Alteration, ...] | None:
    try:
        return tuple(alterations(datasource, new.definition))
    except InvalidInput:
        return None


def _refuse_keep(before: Workspace, datasource: DataSource, keep: str) -> None:
    if not keep:
        return
    if keep in before.resources:
        raise NameTaken(f"There is already a resource with name '{keep}'", hint="Keep the old rows under another name.")
    wrong = check_definition(replace(datasource.definition, name=keep, version=None))
    if wrong:
        raise wrong[0]


def _keys(definition: DataSourceDefinition) -> str:
    engine = definition.engine or TableEngine("MergeTree")
    options = ("sorting_key", "partition_key", "ver")
    keys = [f"{option} {engine.options[option]}" for option in options if engine.options.get(option)]
    return ", ".join((engine.name, *keys))
