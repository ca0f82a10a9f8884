"""`/v0/backups`: backups of whole workspaces, and what becomes of them. `/v0/workspaces/NAME/clone`: a second one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from birdhouse.access.check import require
from birdhouse.api.call import TRUE_WORDS, Call, required
from birdhouse.api.job_json import job_json
from birdhouse.api.responses import json_response, no_content
from birdhouse.clock import wire_time
from birdhouse.errors import Forbidden, NotFound
from birdhouse.jobs.job import JobKind
from birdhouse.workspaces.archive import Backup, Damaged
from birdhouse.workspaces.backup import backup_payload, summary
from birdhouse.workspaces.clone import clone_payload
from birdhouse.workspaces.restore import restore_payload
from birdhouse.workspaces.snapshot import Data


async def index(call: Call) -> Response:
    """The backups of the workspace, newest first; to the user token those of all workspaces, and damaged ones."""
    require(call.grants.may_administer())
    found = await asyncio.to_thread(call.parts.archives.all)
    return json_response({"backups": [summary(each) for each in found if _is_visible(call, each)]})


async def create(call: Call) -> Response:
    """A job backs the workspace up while it goes on working.

    `base` names a backup whose rows are not repeated. With `verify=false` the rows are not read back.
    """
    require(call.grants.may_administer())
    values = await call.form()
    if base := values.get("base", ""):
        await _found(call, base)
    payload = backup_payload(
        call.parts.archives,
        call.workspace,
        wire_time(call.parts.clock.now()),
        name=values.get("name", ""),
        base=base,
        verify=values.get("verify", "true").lower() in TRUE_WORDS,
    )
    return await _submitted(call, JobKind.BACKUP, payload)


async def show(call: Call) -> Response:
    """What a backup holds, by table."""
    require(call.grants.may_administer())
    backup = await _found(call, call.name)
    tables = [{"name": each.datasource, "rows": each.rows, "bytes": each.bytes} for each in backup.tables]
    return json_response({**summary(backup), "contents": tables})


async def restore(call: Call) -> Response:
    """A job makes a workspace of a backup: the one named by `workspace`, or by the backup itself.

    One that exists is only replaced with `replace=true`, by a token of its own or the user token.
    """
    require(call.grants.may_administer())
    backup = await _found(call, call.name)
    values = await call.form()
    payload = restore_payload(
        call.parts.archives,
        call.parts.catalog,
        backup.name,
        into=values.get("workspace", ""),
        in_place=values.get("replace", "").lower() in TRUE_WORDS,
    )
    replaced = payload["replaces"]
    if replaced and replaced["id"] != call.workspace.id and not call.grants.is_user:
        raise Forbidden(
            f"The token does not belong to the workspace '{payload['workspace']}', which would be replaced.",
            hint="Use a token of that workspace, or the user token.",
        )
    return await _submitted(call, JobKind.RESTORE, payload)


async def delete(call: Call) -> Response:
    """Removes a backup, unless another one builds on it or a job reads it."""
    require(call.grants.may_administer())
    if not call.grants.is_user:
        await _found(call, call.name)  # the user may also remove what cannot be read any more
    await asyncio.to_thread(call.parts.archives.remove, call.name)
    return no_content()


async def clone(call: Call) -> Response:
    """A job makes a second workspace, `name`, of the same resources, with tokens of its own.

    `data` says which rows it gets: all, last_partition or none; `ignore_datasources` names some that it gets none of.
    """
    require(call.grants.may_administer())
    if call.name not in (call.workspace.id, call.workspace.name):
        raise NotFound(f"Workspace '{call.name}' not found", hint="The token belongs to another workspace.")
    values = await call.form()
    payload = clone_payload(
        call.parts.catalog,
        call.workspace,
        required(values.get("name"), "name"),
        data=values.get("data") or Data.ALL,
        ignore=[name for name in values.get("ignore_datasources", "").split(",") if name],
    )
    return await _submitted(call, JobKind.CLONE, payload)


def _is_visible(call: Call, backup: Backup | Damaged) -> bool:
    """One that cannot be read does not say whose it is."""
    return call.grants.is_user or (isinstance(backup, Backup) and backup.workspace_id == call.workspace.id)


async def _found(call: Call, name: str) -> Backup:
    """The backup, unless it is of a workspace that is none of the token's business."""
    backup = await asyncio.to_thread(call.parts.archives.get, name)
    if not _is_visible(call, backup):
        raise NotFound(
            f"There is no backup '{name}' of the workspace '{call.workspace.name}'",
            hint="The user token sees the backups of all workspaces.",
        )
    return backup


async def _submitted(call: Call, kind: JobKind, payload: Mapping[str, Any]) -> Response:
    job = await call.parts.jobs.submit(call.workspace.id, kind, payload, asked_by=call.grants.token_name)
    content = job_json(job, call.base_url)
    return json_response({**content, "job": content})
