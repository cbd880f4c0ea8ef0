#!/usr/bin/env bash
# All of it on one's desk, without Docker: endpoint, client, a small matchmaker and a fleet that boots its servers.
#
#   make desk                or ./desk.sh [WORLD OPTIONS]   such as --day 10 --boot 20-40
#
# Ctrl-C ends all of it. ENDPOINT_PORT, WORLD_PORT and PAGE_PORT name other ports than 8080, 9000 and 8000.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."
python=.venv/bin/python
endpoint=${ENDPOINT_PORT:-8080} world=${WORLD_PORT:-9000} page=${PAGE_PORT:-8000}
files=$(mktemp -d)
pids=()

finish() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$files"
}
trap finish EXIT
trap 'exit 0' INT TERM

say() { printf 'desk: %s\n' "$*" >&2; }

await() { # await NAME URL PID
    for _ in $(seq 300); do
        kill -0 "$3" 2>/dev/null || { say "$1 ended; see above"; exit 1; } # first: another program may have its port
        curl --silent --fail --max-time 2 --output /dev/null "$2" && return
        sleep 0.2
    done
    say "$1 does not answer at $2"
    exit 1
}

sed -e "s#endpoint:8080#127.0.0.1:$endpoint#; s#world:9000#127.0.0.1:$world#" local-test/desk/client.yaml >"$files/client.yaml"
printf 'server: {host: 127.0.0.1, port: %s}\n' "$page" >>"$files/client.yaml"
sed -e "s#world:9000#127.0.0.1:$world#" local-test/desk/kubeconfig.yaml >"$files/kubeconfig.yaml"

"$python" local-test/desk/world.py --port "$world" "$@" &
pids+=($!)
await world "http://127.0.0.1:$world/demand" "${pids[-1]}"
AUTOPILOT_HISTORY="sqlite:///$files/history.sqlite3" SAGEMAKER_BIND_TO_PORT=$endpoint MODEL_SERVER_WORKERS=1 \
    OPENBLAS_NUM_THREADS=1 AUTOPILOT_LOG_LEVEL=WARNING "$python" -m autopilot.serve.supervisor &
pids+=($!)
await endpoint "http://127.0.0.1:$endpoint/ping" "${pids[-1]}"
(cd client && exec "../$python" -m autopilot_client --config "$files/client.yaml" --kubeconfig "$files/kubeconfig.yaml" \
    --log-level WARNING) &
pids+=($!)
await client "http://127.0.0.1:$page/readyz" "${pids[-1]}"
say "a day of players takes minutes here. The page: http://127.0.0.1:$page/   Ctrl-C ends all of it"
wait -n "${pids[@]}"
