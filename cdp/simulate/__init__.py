"""Makes up an open-source community that lives for years: its people, projects and all they do, and delivers it as the
platform would, with corrections, deletes, duplicates and late rows.

community = Community(seed=1, activities=200_000)
async with EventsSink("http://127.0.0.1:7181", token) as sink:
    summary = await simulate(community, sink=sink)
"""

from cdp.simulate.community import Community
from cdp.simulate.delivery import DATASOURCES, Batch, Tally
from cdp.simulate.errors import FolderUnusable, ImpossibleCommunity
from cdp.simulate.folder import FolderSink
from cdp.simulate.report import Shares
from cdp.simulate.run import Progress, SimulationSummary, simulate

__all__ = [
    "DATASOURCES",
    "Batch",
    "Community",
    "FolderSink",
    "FolderUnusable",
    "ImpossibleCommunity",
    "Progress",
    "Shares",
    "SimulationSummary",
    "Tally",
    "simulate",
]
