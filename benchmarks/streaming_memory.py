"""Whether memory stays flat while a large result is sent."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from benchmarks.answer import Answer
from benchmarks.load import Download, alone, download
from benchmarks.server import Server

QUESTION = "How much does the server's memory grow while it streams a result of a gigabyte?"

ROWS = 8_500_000
SIZE_MB_MIN = 950
SAMPLE_SECONDS = 0.02
QUERY_SECONDS_MAX = 300

SELECT = f"SELECT number AS id, repeat(toString(cityHash64(number) % 10), 90) AS text FROM numbers({ROWS})"
FILES = {"pipes/large.pipe": f"NODE rows\nSQL >\n    {SELECT}\n\nTYPE ENDPOINT\n"}
PATHS = {
    "/v0/sql": f"/v0/sql?q={quote(SELECT + ' FORMAT JSONEachRow')}",
    "an endpoint's .ndjson": "/v0/pipes/large.ndjson",
}


def run() -> list[Answer]:
    answers = []
    for subject, path in PATHS.items():
        with tempfile.TemporaryDirectory(prefix="birdhouse-bench-") as folder:
            settings = {"query_seconds_max": QUERY_SECONDS_MAX}
            with Server(Path(folder) / "server", settings) as server, alone() as client:
                server.client.deploy(FILES)
                before_mb = server.resident_mb()
                with Sampled(server) as sampled:
                    found: Download = client.submit(download, server.port, server.token, path).result()
        size_mb = found.size_bytes / 1e6
        assert found.status == 200 and size_mb > SIZE_MB_MIN, f"{subject}: {found}"
        note = f"{size_mb:.0f} MB at {size_mb / found.seconds:.0f} MB/s"
        answers.append(Answer(f"growth over {subject}", sampled.peak_mb - before_mb, "MB", at_most=250, note=note))
    return answers


class Sampled:
    """The highest memory seen while the body runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.peak_mb = 0.0

    def __enter__(self) -> Sampled:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak_mb = max(self.peak_mb, self._server.resident_mb())
