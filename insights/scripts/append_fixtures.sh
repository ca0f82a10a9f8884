#!/usr/bin/env bash
# Loads every fixture into the data source of its name and fills the tables that copies make.
# Which copies, and in what order, stands in tests/pipeline.txt.
# TB_HOST and TB_TOKEN choose the workspace, by default the local one. Names after the command load only those fixtures.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/workspace.sh

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

# Prints the words of a step, with the names of pipes for patterns.
expanded() {
    local word pipe
    for word in "$@"; do
        case $word in
            *=*) printf '%s\0' "$word" ;;
            *) for pipe in pipes/$word.pipe; do printf '%s\0' "$(basename "$pipe" .pipe)"; done ;;
        esac
    done
}

while IFS= read -r line; do
    set -f && eval "words=(${line%%#*})" && set +f
    [ ${#words[@]} -gt 0 ] || continue
    step=()
    while IFS= read -r -d '' word; do step+=("$word"); done < <(expanded "${words[@]}")
    run_copies "${step[@]}"
done < tests/pipeline.txt
