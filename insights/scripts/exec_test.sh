#!/usr/bin/env bash
# Runs tests/*.test and compares what they print with the .test.result beside them.
# Names after the command run only those tests: scripts/exec_test.sh active_days
set -uo pipefail
cd "$(dirname "$0")/.."
source scripts/workspace.sh

run_test() {
    local difference
    if difference=$(diff --unified --ignore-blank-lines "$1.result" <(bash "$1" 2>&1)); then
        echo "ok      $1"
    else
        printf 'FAILED  %s\n%s\n' "$1" "$difference"
        return 1
    fi
}
export -f run_test

tests=(tests/*.test)
if [ $# -gt 0 ]; then tests=("${@/#/tests/}") && tests=("${tests[@]/%/.test}"); fi
printf '%s\0' "${tests[@]}" | xargs -0 -P 4 -I {} bash -c 'run_test "$@"' _ {} || { echo "some tests failed" >&2; exit 1; }
