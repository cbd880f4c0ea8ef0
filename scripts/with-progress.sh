#!/usr/bin/env bash
# Run a command that is silent for long, and say every few seconds what it is at: the last line that it wrote.
#
#   scripts/with-progress.sh NAME COMMAND [ARGUMENT ...]
#
# What the command wrote is shown if it fails. Its exit status is this script's. PROGRESS_SECONDS: how often (8).
set -euo pipefail
name=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { printf '%s: %s\n' "$name" "$*" >&2; }

last_line() { tail -n 1 "$log" | tr -s '[:space:]' ' ' | cut -c -100; }

"$@" >"$log" 2>&1 &
command=$!
trap 'kill "$command" 2>/dev/null; exit 130' INT TERM

tell() {
    while sleep "${PROGRESS_SECONDS:-8}" >/dev/null 2>&1; do say "$SECONDS s: $(last_line)"; done
}
tell &
teller=$!

status=0
wait "$command" || status=$?
{ kill -KILL "$teller" && wait "$teller"; } 2>/dev/null || true # no other signal: it could run the traps of this shell
if [ "$status" != 0 ]; then
    cat "$log" >&2
    say "failed with status $status"
fi
exit "$status"
