# Sourced by the other scripts: TB_HOST, TB_TOKEN, and what needs a job to finish.

# Prints one field of the JSON object on the standard input: field job.status
field() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."):
    value = value[name]
print(value)' "$1"
}

TB_HOST=${TB_HOST:-${TB_HOST_LOCAL:-http://localhost:7181}}
TB_TOKEN=${TB_TOKEN:-${TB_TOKEN_LOCAL:-}}
if [ -z "$TB_TOKEN" ]; then
    TB_TOKEN=$(curl --silent --show-error --fail "$TB_HOST/tokens" | field workspace_admin_token) || true
fi
if [ -z "$TB_TOKEN" ]; then
    echo "no token: set TB_TOKEN, or start a local workspace on $TB_HOST" >&2
    exit 1
fi
export TB_HOST TB_TOKEN

export JOB_POLLS_MAX=600 JOB_POLL_SECONDS=0.2

# Waits until the job $1 is done; fails when it does. $2 says what it is.
wait_for_job() {
    local answer status poll
    for ((poll = 0; poll < JOB_POLLS_MAX; poll++)); do
        answer=$(curl --silent --show-error --fail-with-body --header "Authorization: Bearer $TB_TOKEN" "$TB_HOST/v0/jobs/$1")
        status=$(printf '%s' "$answer" | field status)
        case $status in
            done) return 0 ;;
            error | cancelled) echo "$answer" >&2; return 1 ;;
        esac
        sleep "$JOB_POLL_SECONDS"
    done
    echo "$2 is still ${status:-unknown} after $JOB_POLLS_MAX polls" >&2
    return 1
}

# Runs a copy pipe and waits until its job is done; fails when the job does. Parameters follow the name: run_copy name key=value
run_copy() {
    local answer parameter parameters=()
    echo "copy $1"
    for parameter in "${@:2}"; do parameters+=(--data-urlencode "$parameter"); done
    answer=$(
        curl --silent --show-error --fail-with-body --request POST --header "Authorization: Bearer $TB_TOKEN" \
            ${parameters[@]+"${parameters[@]}"} "$TB_HOST/v0/pipes/$1/copy"
    ) || { echo "$answer" >&2; return 1; }
    wait_for_job "$(printf '%s' "$answer" | field job.job_id)" "copy $1"
}

# Runs copies that do not read each other, four at a time, each with the parameters among the words: run_copies key=value name name
run_copies() {
    local word names=() parameters=()
    for word in "$@"; do
        case $word in
            *=*) parameters+=("$word") ;;
            *) names+=("$word") ;;
        esac
    done
    printf '%s\0' "${names[@]}" | xargs -0 -P 4 -I {} bash -c 'run_copy "$@"' _ {} ${parameters[@]+"${parameters[@]}"}
}
export -f field wait_for_job run_copy
