"""Waits for a job of the server and shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from birdhouse.cli import output
from birdhouse.client import ENDED, Client
from birdhouse.errors import BirdhouseError

POLL_SECONDS = 0.2


class JobFailed(BirdhouseError):
    """The job did not end well."""


def ended(
    client: Client, job: dict[str, Any], text: str, *, poll: Callable[[str], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The job once it is done. Raises JobFailed with its error; Ctrl-C leaves it running and says so."""
    poll = poll or client.job
    identity = job["job_id"]
    try:
        with output.progress(text, 100) as bar:
            while job["status"] not in ENDED:
                time.sleep(POLL_SECONDS)
                job = poll(identity)
                stage = job["result"].get("stage", "")
                bar.to(job["progress_percentage"], text=f"{text} ({stage})" if stage else text)
    except KeyboardInterrupt:
        output.note(f"The job goes on. `tb job cancel {identity}` ends it, `tb job details {identity}` shows it.")
        raise
    if job["status"] != "done":
        raise JobFailed(job.get("error") or f"The job was {job['status']}", detail=f"(job {identity})")
    return job
