"""`birdhouse start`"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from birdhouse.cli import output
from birdhouse.settings import load_settings

if TYPE_CHECKING:
    from birdhouse.cli.serve import Running


def start(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one. [default: 7181]")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of all state. [default: .birdhouse]")] = None,
) -> None:
    """Start the server. Ctrl-C stops it; everything acknowledged is on disk.

    Example: birdhouse start --port 7181 --data-dir ~/birdhouse
    """
    # Loading the engine takes a second, which the other commands should not wait for. What is loaded stays, so the
    # collector would look through it for nothing; `serve` turns it on again.
    gc.disable()
    from birdhouse.cli.serve import run, serve

    settings = load_settings({"host": host, "port": port, "data_dir": data_dir})

    def announce(running: Running) -> None:
        output.line(f"Birdhouse serves {running.url}   (data in {settings.data_dir})")
        output.line(f"  a token:  curl -s {running.url}/tokens")
        output.line(f"  sign in:  tb auth --host {running.url} --token TOKEN")

    run(serve(settings, announce))
