#!/usr/bin/env bash
# Ask what serves on port 8080 (or PORT):   ./predict.sh [PAYLOAD] [CONTENT-TYPE]
# Without a payload: payload.csv. Without a type: by the payload's extension (.csv, .jsonl, else JSON).
set -euo pipefail
payload=${1:-$(dirname -- "$0")/payload.csv}
[ -r "$payload" ] || { echo "predict: cannot read $payload" >&2; exit 2; }
case $payload in
    *.csv) type=text/csv ;;
    *.jsonl) type=application/jsonlines ;;
    *) type=application/json ;;
esac
curl --silent --show-error --fail-with-body --data-binary "@$payload" \
    --header "Content-Type: ${2:-$type}" "http://127.0.0.1:${PORT:-8080}/invocations"
echo
