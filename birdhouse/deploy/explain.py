"""A plan in words, one line a step."""

from __future__ import annotations

from birdhouse.deploy.plan import (
    AlterDataSource,
    CreateDataSource,
    CreateView,
    DeletePipe,
    DropDataSource,
    DropView,
    Plan,
    SavePipe,
    Step,
    TakeSnapshot,
)


def explain(plan: Plan) -> list[str]:
    return [describe(step) for step in (*plan.steps, *plan.cleanup)]


def describe(step: Step | DropDataSource) -> str:
    match step:
        case CreateDataSource(datasource):
            definition = datasource.definition
            engine = definition.engine.name if definition.engine else "MergeTree"
            return f"create data source {datasource.name} ({len(definition.columns)} columns, {engine})"
        case AlterDataSource(datasource, ()):
            return f"update data source {datasource.name}"
        case AlterDataSource(datasource, alterations):
            return f"alter data source {datasource.name}: {'; '.join(each.text for each in alterations)}"
        case DropView(pipe):
            return f"remove view of {pipe.name}"
        case CreateView(pipe, target):
            return f"create view of {pipe.name} into {target.name}"
        case TakeSnapshot(pipe, _, source_name):
            return f"keep the rows of {source_name} as they are, to populate {pipe.name}"
        case SavePipe(pipe, is_new):
            return f"{'create' if is_new else 'update'} pipe {pipe.name} ({pipe.kind}, {len(pipe.node_ids)} nodes)"
        case DropDataSource(datasource):
            return f"drop data source {datasource.name} and its rows"
        case DeletePipe(pipe):
            return f"delete pipe {pipe.name}"
