"""Imports the history of a git repository: commits become activities, addresses become members and
organizations.

async with EventsSink("http://127.0.0.1:7181", token) as sink:
    summary = await import_repository("path/to/repository", sink=sink, state="git-state.json")
"""

from cdp.importers.git.errors import GitImportError
from cdp.importers.git.records import Project
from cdp.importers.git.run import ImportSummary, Progress, import_repository
from cdp.sink import EventsSink, Receipt, Sink

__all__ = [
    "EventsSink",
    "GitImportError",
    "ImportSummary",
    "Progress",
    "Project",
    "Receipt",
    "Sink",
    "import_repository",
]
