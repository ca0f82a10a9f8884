"""`birdhouse backup create|list|show|restore|clone|rm|check`"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from birdhouse.cli import backup_check, output
from birdhouse.cli.jobs import ended
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, server_at
from birdhouse.client import ApiError, Client

REPLACED_SECONDS_MAX = 60.0
"""How long the old token of a workspace that was replaced may be unknown before the new one is told."""

app = typer.Typer(
    name="backup",
    help="Back up, restore and clone whole workspaces, and compare a data source with its backup.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Token = Annotated[
    str,
    typer.Option(
        help="An admin token, else that of the environment: TB_TOKEN; a local server is asked for the user's."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Name = Annotated[str, typer.Argument(help="The backup.")]


app.command("check")(backup_check.check)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call it. (default: the workspace and the time)")] = "",
    base: Annotated[str, typer.Option(help="A backup whose rows are not repeated, only those that are new.")] = "",
    verify: Annotated[bool, typer.Option(help="Read the rows back and compare them.")] = True,
    host: HostOption = DEFAULT_HOST,
    token: Token = "",
    json: Json = False,
) -> None:
    """Back up the workspace of the token, with its rows of one moment, while it goes on working.

    Example: birdhouse backup create before-the-upgrade
    """
    with _client(host, token) as client:
        job = client.create_backup(name, base=base, verify=verify)
        backup = ended(client, job, f"Backing up {job['backup']}")["result"]
    if json:
        output.as_json(backup)
        return
    verified = "read back and compared" if backup["verified_at"] else "not read back"
    tables, rows = output.counted(backup["tables"], "table"), output.counted(backup["rows"], "row")
    output.done(
        f"{backup['name']}: {tables}, {rows}, {_size(backup['size_bytes'])}, {verified}; "
        f"inserts were held for {backup['held_seconds'] * 1000:.0f} ms"
    )


@app.command("list")
def list_backups(host: HostOption = DEFAULT_HOST, token: Token = "", json: Json = False) -> None:
    """List the backups, newest first.

    Example: birdhouse backup list
    """
    with _client(host, token) as client:
        found = client.backups()
    if json:
        output.as_json({"backups": found})
        return
    sound = [each for each in found if "damaged" not in each]
    if sound:
        output.table(
            ("name", "workspace", "time (UTC)", "rows", "size", "base", "verified"),
            map(_row, sound),
            numbers=("rows", "size"),
        )
    for each in found:
        if "damaged" in each:
            output.wrong(each["damaged"])
    if not found:
        output.line("There are no backups. `birdhouse backup create` makes one.")


def _row(backup: dict[str, Any]) -> tuple[object, ...]:
    return (
        backup["name"],
        backup["workspace"]["name"],
        backup["created_at"][:16],
        backup["rows"],
        _size(backup["size_bytes"]),
        backup["base"] or "",
        "yes" if backup["verified_at"] else "no",
    )


@app.command("show")
def show(name: Name, host: HostOption = DEFAULT_HOST, token: Token = "", json: Json = False) -> None:
    """Show what a backup holds.

    Example: birdhouse backup show before-the-upgrade
    """
    with _client(host, token) as client:
        backup = client.backup(name)
    if json:
        output.as_json(backup)
        return
    output.line(f"{backup['name']}: workspace {backup['workspace']['name']} at {backup['created_at']} UTC")
    output.table(
        ("data source", "rows", "size"),
        ((each["name"], each["rows"], _size(each["bytes"])) for each in backup["contents"]),
        numbers=("rows", "size"),
    )


@app.command("restore")
def restore(
    name: Name,
    into: Annotated[
        str, typer.Option("--as", help="The workspace it becomes. (default: the one it is a backup of)")
    ] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Put it in place of a workspace that exists.")] = False,
    host: HostOption = DEFAULT_HOST,
    token: Token = "",
    json: Json = False,
) -> None:
    """Make a workspace of a backup: a new one, or with --replace in place of one, in one step at the end.

    Example: birdhouse backup restore before-the-upgrade --as as_it_was
    """
    with _client(host, token) as client:
        job = client.restore_backup(name, workspace=into, replace=replace)
        done = ended(client, job, f"Restoring {name}", poll=_following(client, host, token, replace))
    workspace = done["result"]["restored"]
    if json:
        output.as_json({"workspace": workspace})
        return
    output.done(f"{name} is the workspace {workspace['name']}")
    if replace:
        output.line("  Its tokens are those of the backup.")
    else:
        _tell_token(host, token, workspace)


def _following(client: Client, host: str, token: str, replace: bool) -> Callable[[str], dict[str, Any]]:
    """Polls the job. A workspace that was replaced has the tokens of the backup: a local server is asked again."""
    lost_at: float | None = None

    def poll(job_id: str) -> dict[str, Any]:
        nonlocal lost_at
        try:
            return client.job(job_id)
        except ApiError as error:
            server = server_at(host, token)
            if not replace or server.token or error.status not in (403, 404):
                raise
            lost_at = lost_at or time.monotonic()
            if time.monotonic() > lost_at + REPLACED_SECONDS_MAX:
                raise
            client.use_token(_local_token(server.host))
            return {"job_id": job_id, "status": "working", "result": {}, "progress_percentage": 99}

    return poll


@app.command("clone")
def clone(
    name: Annotated[str, typer.Argument(help="What to call the new workspace.")],
    data: Annotated[str, typer.Option(help="Which rows it gets: all, last_partition or none.")] = "all",
    ignore: Annotated[list[str] | None, typer.Option(help="A data source it gets no rows of; repeatable.")] = None,
    host: HostOption = DEFAULT_HOST,
    token: Token = "",
    json: Json = False,
) -> None:
    """Make a second workspace of the same resources and rows, with tokens of its own. It takes moments, and no room.

    Example: birdhouse backup clone try_it_out --data last_partition
    """
    with _client(host, token) as client:
        job = client.clone_workspace(name, data=data.replace("-", "_"), ignore=ignore or ())
        result = ended(client, job, f"Cloning into {name}")["result"]
    if json:
        output.as_json(result)
        return
    partitions = sum(len(each["partitions"]) for each in result["partitions"])
    output.done(f"{name} is a workspace with {partitions} partitions of rows")
    if result["paused"]:
        output.line(f"  its {len(result['paused'])} schedules are paused:  tb pipe copy resume NAME")
    _tell_token(host, token, result["clone"])


@app.command("rm")
def remove(name: Name, host: HostOption = DEFAULT_HOST, token: Token = "") -> None:
    """Remove a backup.

    Example: birdhouse backup rm before-the-upgrade
    """
    with _client(host, token) as client:
        client.remove_backup(name)
    output.done(f"{name} is removed")


def _client(host: str, token: str) -> Client:
    """With the user token a local server shows the backups of all its workspaces."""
    server = server_at(host, token)
    return Client(server.host, server.token or _local_token(server.host))


def _local_token(host: str) -> str:
    with Client(host) as client:
        return client.local_tokens()["user_token"]


def _tell_token(host: str, token: str, workspace: dict[str, str]) -> None:
    """Of a new workspace, where the token used may know it."""
    with _client(host, token) as client:
        found = next((each for each in client.workspaces() if each["id"] == workspace["id"]), None)
    if found is not None:
        output.line(f"  its token:  {found['token']}")


def _size(size_bytes: int) -> str:
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
