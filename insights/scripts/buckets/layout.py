"""The datafiles that follow from the number of buckets, as text. Paths are relative to the project folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BUCKETS_MIN = 2
BUCKETS_MAX = 100
ON_DEMAND = "@on-demand"

FIRST_MINUTE = 10
"""The members, which the buckets read, are there at minute 8."""
LAST_MINUTE = 59
MINUTES_APART_MAX = 4


@dataclass(frozen=True)
class Layout:
    """`buckets` tables exist, and readers know the first `read` of them.

    `moduli` and `schedules` are by bucket; what is not there is `buckets` and its minute of the hour. With `filtered`
    the union takes from every table only the segments that are its own among the tables that are read.
    """

    buckets: int
    read: int
    moduli: Mapping[int, int] = field(default_factory=dict)
    schedules: Mapping[int, str] = field(default_factory=dict)
    filtered: bool = False

    @classmethod
    def of(cls, buckets: int) -> Layout:
        """The layout of the project folder."""
        return cls(buckets, buckets)

    def modulus(self, bucket: int) -> int:
        return self.moduli.get(bucket, self.buckets)

    def schedule(self, bucket: int) -> str:
        return self.schedules.get(bucket, f"{minute(bucket, self.buckets)} * * * *")


def minute(bucket: int, buckets: int) -> int:
    """Two buckets share a minute, and the pairs are spread over the rest of the hour."""
    pairs = (buckets + 1) // 2
    apart = min(MINUTES_APART_MAX, (LAST_MINUTE - FIRST_MINUTE) // max(1, pairs - 1))
    return FIRST_MINUTE + bucket // 2 * apart


def datafiles(layout: Layout) -> dict[str, str]:
    """All that a deployment of this layout needs, includes apart."""
    found: dict[str, str] = {}
    for bucket in range(layout.buckets):
        found |= _of_bucket(layout, bucket)
    found["pipes/activityRelations_bucket_routing.pipe"] = _routing(layout)
    found["pipes/activityRelations_deduplicated_cleaned_bucket_union.pipe"] = _union(layout)
    found["pipes/project_buckets.pipe"] = _project_buckets(layout)
    return found


def raw_table(bucket: int) -> str:
    return f"activityRelations_bucket_MV_ds_{bucket}"


def cleaned_table(bucket: int) -> str:
    return f"activityRelations_deduplicated_cleaned_bucket_{bucket}_ds"


def view(bucket: int) -> str:
    return f"activityRelations_bucket_MV_{bucket}"


def snapshot_copy(bucket: int) -> str:
    return f"activityRelations_bucket_MV_snapshot_{bucket}"


def clean_copy(bucket: int) -> str:
    return f"activityRelations_bucket_clean_enrich_copy_pipe_{bucket}"


def _of_bucket(layout: Layout, bucket: int) -> dict[str, str]:
    split = {"BUCKET": bucket, "BUCKETS": layout.modulus(bucket)}
    return {
        f"datasources/{raw_table(bucket)}.datasource": _include("bucket_raw", BUCKET=bucket),
        f"datasources/{cleaned_table(bucket)}.datasource": _include("bucket_clean", BUCKET=bucket),
        f"pipes/{view(bucket)}.pipe": _include("bucket_MV", **split),
        f"pipes/{snapshot_copy(bucket)}.pipe": _include("bucket_MV_snapshot", **split),
        f"pipes/{clean_copy(bucket)}.pipe": _include(
            "bucket_clean_enrich", BUCKET=bucket, SCHEDULE=layout.schedule(bucket)
        ),
    }


def _include(name: str, **variables: object) -> str:
    written = "".join(f' "{key}={value}"' for key, value in variables.items())
    return f'INCLUDE "../includes/{name}.incl"{written}\n'


def _routing(layout: Layout) -> str:
    last = layout.read - 1
    description = f'description="Bucket of the project: 0 to {last}", example="{min(7, last)}"'
    lines = []
    for bucket in range(1, layout.read):
        chosen = f"String(bucketId, '0', {description})" if bucket == 1 else "String(bucketId, '0')"
        lines.append(f"        {{% {'if' if bucket == 1 else 'elif'} {chosen} == '{bucket}' %}}")
        lines.append(f"            {{{{ table('{cleaned_table(bucket)}') }}}}")
    lines.append(f"        {{% else %}} {{{{ table('{cleaned_table(0)}') }}}}")
    return f"""\
DESCRIPTION >
    The cleaned activity relations of one bucket. `project_buckets` tells the bucket of a project.
    Without a known `bucketId` bucket 0 is read.

NODE cleaned_bucket
SQL >
    %
    SELECT *
    FROM
{chr(10).join(lines)}
        {{% end %}}
"""


def _union(layout: Layout) -> str:
    parts = []
    for bucket in range(layout.read):
        own = f"\n    WHERE cityHash64(segmentId) % {layout.read} = {bucket}" if layout.filtered else ""
        parts.append(f"    SELECT *\n    FROM {cleaned_table(bucket)}{own}\n")
    return f"""\
DESCRIPTION >
    The cleaned activity relations of all buckets, for work that is not about one project.

NODE all_buckets
SQL >
{f"    UNION ALL{chr(10)}".join(parts)}"""


def _project_buckets(layout: Layout) -> str:
    return f"""\
DESCRIPTION >
    The bucket that holds the activities of a project: pass it as `bucketId` to every endpoint that reads activities.

NODE bucket_of_project
SQL >
    SELECT toUInt8(cityHash64(segmentId) % {layout.read}) AS bucketId FROM segments_filtered
"""
