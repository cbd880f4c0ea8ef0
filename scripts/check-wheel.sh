#!/usr/bin/env bash
# Build the wheel of what is committed, install it into a fresh environment outside the checkout, and use it there:
# demo, backtest, serve until /ping answers 200 and a SIGTERM ends it, and what a missing extra says.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."
scripts/setup-venv.sh demo
python=$PWD/.venv/bin/python
patiently=$PWD/scripts/with-progress.sh
place=$(mktemp -d)
server=
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$place"
}
trap finish EXIT

say() { printf 'wheel: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

mkdir "$place/source" "$place/work"
git archive HEAD | tar x -C "$place/source"
"$patiently" wheel "$python" -m pip wheel --no-deps --wheel-dir "$place/dist" "$place/source"
"$python" -m venv --without-pip "$place/venv"
"$patiently" wheel "$python" -m pip --python "$place/venv/bin/python" install "$place"/dist/*.whl

cd "$place/work"
unset PYTHONPATH
export PATH=$place/venv/bin:$PATH
autopilot --version
package=$(python -c 'import autopilot, os; print(os.path.dirname(autopilot.__file__))')
case $package in "$place"/venv/*) ;; *) die "it is not the installed package that runs: $package" ;; esac

autopilot demo
[ -s out/demo/demo.html ] || die "the demo left no page"

autopilot backtest "$package/demo/sample_day.csv" --html report.html | tail -n 3
[ -s report.html ] || die "the backtest left no report"

port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
SAGEMAKER_BIND_TO_PORT=$port AUTOPILOT_HISTORY=off autopilot serve &
server=$!
ready() { python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/ping', timeout=5)" 2>/dev/null; }
for _ in $(seq 150); do
    ! ready || break
    kill -0 "$server" 2>/dev/null || die "the server ended"
    sleep 0.2
done
ready || die "/ping did not answer 200"
kill -TERM "$server"
wait "$server" || die "the server ended with status $? after SIGTERM"
server=

! refused=$(autopilot train 2>&1) || die "train runs without its extra"
case $refused in *"gameserver-autopilot[train]"*) ;; *) die "train does not name its extra: $refused" ;; esac
say "the wheel works outside the checkout"
