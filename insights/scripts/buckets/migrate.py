"""Takes a running workspace from its number of buckets to a multiple of it, while rows come in and readers read.

The server is the only memory: what is deployed tells the stage, its jobs and rows tell what is done in it. So the
migration can end anywhere, by Ctrl-C, a failure or a kill of either side, and goes on when it is run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from buckets import layout as names
from buckets.includes import unrolled
from buckets.layout import datafiles
from buckets.server import Server, ServerError
from buckets.stages import Stage, layout
from buckets.tree import modulus_of

COUNT_ATTEMPTS_MAX = 10
COUNT_PAUSE_SECONDS = 1.0
QUERY_TOO_LONG = 408


class MigrationRefused(Exception):
    """The workspace cannot be taken there: the message says why."""


class Migration:
    """`cache_seconds` is how long callers remember what `project_buckets` said; `say` gets a line of progress."""

    def __init__(
        self, server: Server, folder: Path, buckets: int, cache_seconds: float, say: Callable[[str], None]
    ) -> None:
        self._server = server
        self._folder = folder
        self._new = buckets
        self._cache_seconds = cache_seconds
        self._say = say

    def run(self) -> None:
        """Raises MigrationRefused or ServerError; running again goes on."""
        work = {
            Stage.OLD: (self._nothing, Stage.DOUBLED),
            Stage.DOUBLED: (self._fill_new_tables, Stage.HELD),
            Stage.HELD: (self._clean_new_tables, Stage.SWITCHED),
            Stage.SWITCHED: (self._let_caches_expire, Stage.SPLIT),
            Stage.SPLIT: (self._empty_old_tables, Stage.NEW),
        }
        while True:
            stage, old = self.place()
            self._say(f"{list(Stage).index(stage) + 1}/{len(Stage)} {stage.value}")
            if stage is Stage.NEW:
                self._check_nothing_is_missing(range(self._new))
                return
            do, following = work[stage]
            do(old)
            self._advance(stage, following, old)

    def place(self) -> tuple[Stage, int]:
        """The stage that the workspace is in, and its old number of buckets as long as that matters."""
        read = modulus_of(self._text("project_buckets"))
        first_view = modulus_of(self._text(names.view(0)))
        is_filtered = modulus_of(self._text("activityRelations_deduplicated_cleaned_bucket_union")) > 0
        if read == self._new:
            if first_view != self._new:
                return Stage.SWITCHED, first_view
            return (Stage.SPLIT if is_filtered else Stage.NEW), self._new
        next_view = modulus_of(self._server.datafile(names.view(read)) or "")
        self._refuse_another_way(read, read if first_view != read or is_filtered else next_view)
        if not next_view:
            return Stage.OLD, read
        is_held = names.ON_DEMAND in self._text(names.clean_copy(0))
        return (Stage.HELD if is_held else Stage.DOUBLED), read

    def _refuse_another_way(self, read: int, under_way: int) -> None:
        """`under_way` is the number that an unfinished migration leads to, or 0."""
        if under_way not in (0, self._new):
            raise MigrationRefused(
                f"The workspace is on its way to {under_way} buckets. "
                f"Finish that first: grow_buckets {under_way} --migrate"
            )
        if read == 0 or read > self._new or self._new % read:
            raise MigrationRefused(
                f"The workspace has {read} buckets, and {self._new} is no multiple of that: "
                f"every bucket has to split into whole new ones. {2 * read} is the next good number."
            )

    def _text(self, pipe: str) -> str:
        text = self._server.datafile(pipe)
        if text is None:
            raise MigrationRefused(f"There is no pipe '{pipe}' on the server. Deploy the project first.")
        return text

    def _advance(self, stage: Stage, following: Stage, old: int) -> None:
        if self.place() != (stage, old):
            raise MigrationRefused("The workspace was moved by somebody else meanwhile. Run one migration at a time.")
        texts = datafiles(layout(following, old, self._new))
        self._server.deploy({path: unrolled(text, (self._folder / path).parent) for path, text in texts.items()})

    def _nothing(self, old: int) -> None:
        """The old buckets are as good a start as any."""

    def _fill_new_tables(self, old: int) -> None:
        """Rows that came before the new views. Those that came since are there twice and are one by their key."""
        for bucket in range(old, self._new):
            name = names.snapshot_copy(bucket)
            pipe_id = self._server.pipe(name)["id"]
            self._server.idle(name)
            if not any(job["status"] == "done" and job["pipe_id"] == pipe_id for job in self._server.jobs(name)):
                self._say(f"  filling raw bucket {bucket}")
                self._server.copy(name)
        self._check_nothing_is_missing(range(old, self._new))

    def _clean_new_tables(self, old: int) -> None:
        """From rows that are as new as those of any refresh of the old tables: readers never go back in time."""
        for bucket in range(old):
            self._server.idle(names.clean_copy(bucket))
        refreshed = [job["updated_at"] for bucket in range(old) for job in self._server.jobs(names.clean_copy(bucket))]
        last = max(map(_moment, [*refreshed, self._server.pipe(names.clean_copy(0))["updated_at"]]))
        for bucket in range(old, self._new):
            self._server.idle(names.clean_copy(bucket))
            jobs = self._server.jobs(names.clean_copy(bucket))
            if not any(job["status"] == "done" and _moment(job["created_at"]) > last for job in jobs):
                self._clean(bucket)

    def _let_caches_expire(self, old: int) -> None:
        switched = _moment(self._server.pipe("project_buckets")["updated_at"])
        now = _moment(self._server.sql("SELECT toString(now64(3)) AS now")[0]["now"])
        left = self._cache_seconds - (now - switched).total_seconds()
        if left > 0:
            self._say(f"  waiting {left:.0f} s for callers that remember the bucket of a project")
            time.sleep(left)

    def _empty_old_tables(self, old: int) -> None:
        """What moved is deleted from the raw tables first, and refreshes that began before that are waited for.

        So no refresh can bring it back once the cleaned tables are rid of it.
        """
        for bucket in range(self._new):
            if self._count_moved(names.raw_table(bucket), bucket):
                self._say(f"  deleting from raw bucket {bucket} what has moved")
                self._server.delete(names.raw_table(bucket), self._moved(bucket))
        for bucket in range(self._new):
            self._server.idle(names.clean_copy(bucket))
            if self._count_moved(names.cleaned_table(bucket), bucket):
                self._clean(bucket)

    def _moved(self, bucket: int) -> str:
        return f"cityHash64(segmentId) % {self._new} != {bucket}"

    def _count_moved(self, table: str, bucket: int) -> int:
        return self._count(f"{table} WHERE {self._moved(bucket)}")

    def _clean(self, bucket: int) -> None:
        self._say(f"  refreshing cleaned bucket {bucket}")
        self._server.copy(names.clean_copy(bucket))

    def _check_nothing_is_missing(self, buckets: Sequence[int]) -> None:
        """A row of the source has to be in its raw bucket. One that comes in right now may need another moment."""
        missing: list[int] = []
        try:
            for _ in range(COUNT_ATTEMPTS_MAX):
                missing = self._missing(buckets)
                if not missing:
                    return
                time.sleep(COUNT_PAUSE_SECONDS)
        except ServerError as error:
            if error.status != QUERY_TOO_LONG:
                raise
            self._say("  not counted: there are too many relations for the time that a query may take")
            return
        raise MigrationRefused(
            f"Rows of 'activityRelations' are missing in the raw buckets {', '.join(map(str, missing))}. "
            f"Run the copies '{names.snapshot_copy(missing[0])}' and so on, then this again."
        )

    def _missing(self, buckets: Sequence[int]) -> list[int]:
        """The raw buckets with fewer rows than the source had for them a moment before."""
        rows = self._server.sql(
            f"SELECT cityHash64(segmentId) % {self._new} AS bucket, count() AS total "
            "FROM activityRelations FINAL GROUP BY bucket"
        )
        total = {int(row["bucket"]): int(row["total"]) for row in rows}
        own = f"FINAL WHERE cityHash64(segmentId) % {self._new} ="
        return [each for each in buckets if self._count(f"{names.raw_table(each)} {own} {each}") < total.get(each, 0)]

    def _count(self, table: str) -> int:
        return int(self._server.sql(f"SELECT count() AS total FROM {table}")[0]["total"])


def _moment(text: str) -> datetime:
    """The server's times are all in UTC."""
    return datetime.fromisoformat(text)
