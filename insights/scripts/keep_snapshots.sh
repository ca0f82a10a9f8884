#!/usr/bin/env bash
# Deletes all snapshots of the activity relations but the newest three; run it after the nightly merge.
# TB_HOST and TB_TOKEN choose the workspace, by default the local one. A number after the command keeps that many.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/workspace.sh

keep=${1:-3}
[[ $keep =~ ^[1-9][0-9]?$ ]] || { echo "keep at least 1 and at most 99 snapshots, not '$keep'" >&2; exit 1; }
table=activityRelations_enriched_deduplicated_ds

oldest=$(
    curl --silent --show-error --fail-with-body --get "$TB_HOST/v0/sql" \
        --header "Authorization: Bearer $TB_TOKEN" \
        --data-urlencode "q=SELECT min(snapshotId) AS oldest, count() AS snapshots FROM (SELECT DISTINCT snapshotId FROM $table ORDER BY snapshotId DESC LIMIT $keep) FORMAT JSON" |
        python3 -c 'import json, sys; row = json.load(sys.stdin)["data"][0]; print(row["oldest"] if int(row["snapshots"]) else "")'
)
[ -n "$oldest" ] || { echo "there is no snapshot"; exit 0; }

answer=$(
    curl --silent --show-error --fail-with-body --request POST "$TB_HOST/v0/datasources/$table/delete" \
        --header "Authorization: Bearer $TB_TOKEN" \
        --data-urlencode "delete_condition=snapshotId < '$oldest'"
) || { echo "$answer" >&2; exit 1; }
wait_for_job "$(printf '%s' "$answer" | field job_id)" "the delete"
echo "kept the snapshots from $oldest on"
