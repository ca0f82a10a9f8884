#!/usr/bin/env bash
# Formats every datafile as `tb fmt` prints it. With --check nothing is written and a difference fails.
set -uo pipefail
cd "$(dirname "$0")/.."
export TB_VERSION_WARNING=0 TB_CLI_TELEMETRY_OPTOUT=1

mode=--yes
[ "${1:-}" = --check ] && mode=--diff

format() {
    local output
    output=$(tb fmt "$1" "$2" 2>&1) || { printf '%s\n%s\n' "$2" "$output"; return 1; }
}
export -f format

printf '%s\0' datasources/*.datasource pipes/*.pipe includes/*.incl |
    xargs -0 -P 4 -I {} bash -c 'format "$@"' _ "$mode" {}
