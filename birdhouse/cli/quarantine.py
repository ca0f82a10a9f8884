"""`birdhouse quarantine show|fix|replay`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from birdhouse.cli import output
from birdhouse.cli.jobs import ended
from birdhouse.cli.project import read_file
from birdhouse.cli.refit import Proposal, propose
from birdhouse.cli.servers import DEFAULT_HOST, HostOption, TokenOption, server_at

app = typer.Typer(
    name="quarantine",
    help="Rows that did not fit their data source: what is wrong with them, what would let them in, another try.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Name = Annotated[str, typer.Argument(help="The data source.")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@app.command("show")
def show(name: Name, host: HostOption = DEFAULT_HOST, token: TokenOption = "", json: Json = False) -> None:
    """Group the rows by what is wrong with them, the most frequent first, each with an example.

    Example: birdhouse quarantine show activities
    """
    with server_at(host, token).client() as client:
        groups = client.misfits(name)
    if json:
        output.as_json(groups)
        return
    if not groups:
        output.done(f"Nothing is in quarantine: every row fits {name}.")
        return
    columns = ("rows", "columns", "reason", "for example", "last")
    output.table(columns, [_row(each) for each in groups], numbers=("rows",))
    output.note(f"`birdhouse quarantine fix {name}` says what would let them in.")


@app.command("fix")
def fix(
    name: Name,
    file: Annotated[
        Path | None, typer.Option(help="The datafile to change. (default: the text that the server has)")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the change into the file.")] = False,
    host: HostOption = DEFAULT_HOST,
    token: TokenOption = "",
    json: Json = False,
) -> None:
    """Propose types that would let the rows in, as a change of the datafile. The server is left as it is.

    Exit status 1 when there are rows that no type lets in.

    Example: birdhouse quarantine fix activities --file insights/datasources/activities.datasource --apply
    """
    if apply and file is None:
        raise typer.BadParameter("--apply needs --file, the datafile to write.")
    with server_at(host, token).client() as client:
        text = read_file(file) if file is not None else client.datafile("datasources", name)
        proposal = propose(client, name, text)
    if apply and file is not None and proposal.text != text:
        file.write_text(proposal.text, "utf-8")
    if json:
        output.as_json(proposal.as_json())
    else:
        _show_proposal(name, text, proposal, file, apply)
    raise typer.Exit(1 if proposal.unreadable_rows else 0)


@app.command("replay")
def replay(name: Name, host: HostOption = DEFAULT_HOST, token: TokenOption = "", json: Json = False) -> None:
    """Fit the rows again, to what the data source is now: those that fit go into it, the others stay.

    Example: birdhouse quarantine replay activities
    """
    with server_at(host, token).client() as client:
        job = ended(client, client.replay_quarantine(name), f"Replaying the quarantine of {name}")
    if json:
        output.as_json(job)
        return
    output.done(
        f"{name}: fit now: {output.counted(job['replayed_rows'], 'row')}; still in quarantine: {job['left_rows']:,}"
    )


def _row(group: dict[str, Any]) -> tuple[object, ...]:
    wrong = {name: group["example"].get(name) for name in group["columns"]}
    example = ", ".join(f"{name} = {'NULL' if value is None else value!r}" for name, value in wrong.items())
    columns, reasons = ", ".join(group["columns"]), "; ".join(group["reasons"])
    return int(group["rows"]), columns, reasons, example or "; ".join(group["example_errors"]), group["last"]


def _show_proposal(name: str, text: str, proposal: Proposal, file: Path | None, applied: bool) -> None:
    for change in proposal.changes:
        output.line(f"{change.column}: {change.before} → {change.after}   ({change.why})")
    title = str(file or f"{name}.datasource")
    output.difference(text, proposal.text, title, title)
    if proposal.unreadable_rows:
        output.wrong(f"{proposal.unreadable_rows:,} lines were no records at all: no type lets them in.")
    if not proposal.changes:
        output.done(f"There is nothing to change in {name}.")
        return
    where = file if applied else title
    output.note(f"`birdhouse evolve {name} --to {where}` brings the change to the server,")
    output.note(f"`birdhouse quarantine replay {name}` gives the rows another try then.")
