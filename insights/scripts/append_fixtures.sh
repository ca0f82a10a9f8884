#!/usr/bin/env bash
# Loads every fixture into the data source of its name and fills the tables that copies make.
# The names are made from the buckets and the buckets from the members, so that round is run twice. The nightly copies are run as of the night
# after the fixtures, in an order in which everything they read is there; the boards and the insights of projects read each other.
# TB_HOST and TB_TOKEN choose the workspace, by default the local one. Names after the command load only those fixtures.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/workspace.sh

night="2024-04-10 01:00:00"

fixtures=("$@")
if [ ${#fixtures[@]} -eq 0 ]; then
    for file in fixtures/*.ndjson; do fixtures+=("$(basename "$file" .ndjson)"); done
fi
for name in "${fixtures[@]}"; do
    echo "append $name"
    answer=$(
        curl --silent --show-error --fail-with-body \
            --header "Authorization: Bearer $TB_TOKEN" \
            --form "ndjson=@fixtures/$name.ndjson" \
            "$TB_HOST/v0/datasources?mode=append&format=ndjson&name=$name"
    ) || { echo "$answer" >&2; exit 1; }
done

pipes_named() {
    local pipe
    for pipe in pipes/$1.pipe; do basename "$pipe" .pipe; done
}

run_copies country_mapping_copy country_mapping_no_flags_copy
for _ in 1 2; do
    run_copy members_public_names_copy_pipe
    run_copy members_sorted_copy_pipe
    run_copies $(pipes_named "activityRelations_bucket_clean_enrich_copy_pipe_*")
done
run_copy members_public_names_copy_pipe
run_copy members_sorted_copy_pipe

run_copies \
    maintainers_roles_copy \
    contributions_with_local_time \
    issue_analysis_copy_pipe \
    segmentId_aggregates_snapshot \
    security_deduplicated_merged_copy_pipe \
    activities_deduplicated_copy_pipe \
    activityRelations_enrich_initial_snapshot
run_copies activities_deduplicated_copy_pipe_append_mode activities_backup_consistency_audit_copy_pipe
run_copies segments_aggregates_with_ids_copy pull_request_analysis_initial_snapshot
run_copy pull_request_analysis_snapshot_merger_copy

run_copy health_score_copy job_timestamp="$night"
run_copy insights_projects_populated_copy
run_copies org_dash_metric_copy_pipe project_insights_copy job_timestamp="$night"
run_copies $(pipes_named "leaderboards_*") job_timestamp="$night"
run_copy project_insights_copy job_timestamp="$night"

run_copies cdp_member_segment_aggregates_initial_snapshot cdp_organization_segment_aggregates_initial_snapshot
run_copy cdp_segment_metrics_copy_pipe
