"""`/v0/environments`: branches of a workspace, which are workspaces of their own with a copy of its rows."""

from __future__ import annotations

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import Call, required
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response, no_content
from birdhouse.api.workspaces import visible, workspace_json
from birdhouse.catalog.workspace import Workspace
from birdhouse.errors import Conflict, InvalidInput, InvalidParameter, NotFound
from birdhouse.jobs.job import JobKind, JobStatus
from birdhouse.workspaces.bring import bring_payload
from birdhouse.workspaces.clone import clone_payload
from birdhouse.workspaces.regression import regression_payload
from birdhouse.workspaces.snapshot import Data

DATA = {"": Data.NONE, "last_partition": Data.LAST_PARTITION, "all_partitions": Data.ALL}
"""What clients call the rows that a branch gets."""


async def index(call: Call) -> Response:
    """The branches of the workspace, or of the one that it is a branch of, as far as the token may go on to them."""
    found = [each for each in visible(call) if each.main_id == _main_id(call)]
    return json_response({"environments": [await workspace_json(call, each) for each in found]})


async def create(call: Call) -> Response:
    """A branch, `name`, with the resources of the workspace, tokens of its own, and paused schedules.

    `data` says which rows it gets: last_partition, all_partitions, or none without it; `ignore_datasources` names some
    that it gets none of. The branch is there when the answer comes.
    """
    require(call.grants.may_administer())
    if call.workspace.main_id is not None:
        raise Conflict(f"'{call.workspace.name}' is a branch itself", hint="Make the branch from the main workspace.")
    values = await call.form()
    payload = clone_payload(
        call.parts.catalog,
        call.workspace,
        required(values.get("name"), "name"),
        data=_data(values.get("data", "")),
        ignore=_names(values.get("ignore_datasources", "")),
        is_branch=True,
    )
    job = await call.parts.jobs.submit(call.workspace.id, JobKind.CLONE, payload, asked_by=call.grants.token_name)
    job = await call.parts.jobs.finished(job.id)
    if job.status is JobStatus.ERROR:
        raise InvalidInput(job.error or f"The branch '{payload['workspace']}' could not be made")
    content = job_json(job, call.base_url)
    return json_response({**content, "job": content})


async def delete(call: Call) -> Response:
    """The branch with all it has."""
    require(call.grants.may_administer())
    await call.parts.hosting.remove(_found(call))
    return no_content()


async def bring(call: Call) -> Response:
    """A job of the branch: rows of the main workspace take the place of those that it has in the same partitions.

    `mode` is last_partition or all_partitions; `ignore_datasources` names data sources to leave alone.
    """
    require(call.grants.may_administer())
    branch = _found(call)
    values = await call.form()
    ignored = _names(values.get("ignore_datasources", ""))
    payload = bring_payload(branch, data=_data(required(values.get("mode"), "mode")), ignore=ignored)
    job = await call.parts.jobs.submit(branch.id, JobKind.BRANCH_DATA, payload, asked_by=call.grants.token_name)
    content = job_json(job, call.base_url)
    return json_response({**content, "job": content})


async def compare(call: Call) -> Response:
    """A job of the branch: requests that the main workspace has answered are put to both, and the answers compared.

    The body is a list: `[{"pipe": ".*", "tests": [{"coverage": {}}]}]`; a test is coverage, last or manual.
    """
    return await _compare(call, in_main=False)


async def compare_in_main(call: Call) -> Response:
    """The same with the endpoints of the branch on the rows of the main workspace."""
    return await _compare(call, in_main=True)


async def _compare(call: Call, *, in_main: bool) -> Response:
    require(call.grants.may_administer())
    branch = _found(call)
    payload = regression_payload(branch, await call.json(), in_main=in_main)
    await call.parts.recorder.flush()
    job = await call.parts.jobs.submit(branch.id, JobKind.REGRESSION, payload, asked_by=call.grants.token_name)
    return json_response({"job": job_json(job, call.base_url)})


def _main_id(call: Call) -> str:
    return call.workspace.main_id or call.workspace.id


def _found(call: Call) -> Workspace:
    """Raises NotFound also for a workspace that is no branch."""
    for each in visible(call):
        if call.name in (each.id, each.name) and each.main_id is not None:
            return each
    raise NotFound(f"Branch '{call.name}' not found", hint="`tb branch ls` lists those of the workspace.")


def _data(text: str) -> Data:
    if text not in DATA:
        raise InvalidParameter(f"There is no data {text!r} to copy.", hint="Use last_partition or all_partitions.")
    return DATA[text]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
