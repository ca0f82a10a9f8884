"""What the service data sources are told about a plan that was carried out, or could not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from birdhouse.catalog.resources import DataSource
from birdhouse.catalog.workspace import Workspace
from birdhouse.deploy.plan import AlterDataSource, CreateDataSource, Plan
from birdhouse.metadata.identifiers import new_id
from birdhouse.usage.operations import EventType, Operation

_Change = tuple[EventType, DataSource, Mapping[str, str]]
"""What was done to which data source, and with which options."""


def operations_of(plan: Plan, at: datetime, seconds: float, error: str | None) -> list[Operation]:
    """One for each data source that was created, altered, renamed or deleted."""
    return _operations(plan.after, _changes(plan), at, seconds, error)


def exchange(workspace: Workspace, a: DataSource, b: DataSource, at: datetime, seconds: float) -> list[Operation]:
    """One for each of the two."""
    both = [(EventType.EXCHANGE, each, {"with": other.name}) for each, other in ((a, b), (b, a))]
    return _operations(workspace, both, at, seconds, None)


def alteration(
    workspace: Workspace, datasource: DataSource, operations: Iterable[str], at: datetime, seconds: float, job_id: str
) -> Operation:
    """Of a data source whose rows a job has written again."""
    change = (EventType.ALTER, datasource, {"operations": "; ".join(operations)})
    (operation,) = _operations(workspace, [change], at, seconds, None)
    return replace(operation, job_id=job_id)


def _operations(
    workspace: Workspace, changes: Iterable[_Change], at: datetime, seconds: float, error: str | None
) -> list[Operation]:
    """They belong together: all of them were done, or none."""
    operation_id = new_id()
    return [
        Operation(
            workspace_id=workspace.id,
            timestamp=at,
            event_type=event_type,
            datasource_id=datasource.id,
            datasource_name=datasource.name,
            elapsed_time=seconds,
            error=error,
            options=options,
            operation_id=operation_id,
        )
        for event_type, datasource, options in changes
    ]


def _changes(plan: Plan) -> Iterator[_Change]:
    for step in plan.steps:
        match step:
            case CreateDataSource(datasource):
                yield EventType.CREATE, datasource, {}
            case AlterDataSource(datasource, alterations):
                old_name = plan.before.by_id[datasource.id].name
                if old_name != datasource.name:
                    yield EventType.RENAME, datasource, {"old_name": old_name, "new_name": datasource.name}
                elif alterations:
                    yield EventType.ALTER, datasource, {"operations": "; ".join(each.text for each in alterations)}
    for gone in plan.cleanup:
        yield EventType.DELETE, gone.datasource, {}
