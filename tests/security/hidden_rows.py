"""The workspace of the security tests."""

from __future__ import annotations

HIDDEN = "HIDDEN"
"""Stands in every row that the tokens of these tests may not read, and nowhere else."""

VISITS: list[dict[str, object]] = [
    {"id": id, "tenant": "ab"[id % 2], "note": HIDDEN if id % 2 else str(id)} for id in range(40)
]

FILES = {
    "datasources/visits.datasource": """SCHEMA >
    `id` UInt32 `json:$.id`,
    `tenant` String `json:$.tenant`,
    `note` String `json:$.note`

ENGINE ReplacingMergeTree
ENGINE_SORTING_KEY id
""",
    "datasources/passwords.datasource": """SCHEMA >
    `id` UInt32 `json:$.id`,
    `password` String `json:$.password`

ENGINE MergeTree
ENGINE_SORTING_KEY id
""",
    "pipes/all_visits.pipe": """NODE raw
SQL >
    SELECT * FROM visits

NODE result
SQL >
    SELECT id, tenant, note FROM raw

TYPE endpoint
""",
    "pipes/visits_of.pipe": """NODE chosen
SQL >
    %
    SELECT * FROM visits WHERE tenant = {{ String(tenant, 'a') }}

TYPE endpoint
""",
    "pipes/misfits.pipe": """NODE all_of_them
SQL >
    SELECT * FROM visits_quarantine

TYPE endpoint
""",
}
