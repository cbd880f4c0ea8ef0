#!/usr/bin/env bash
# Make .venv and install a set of packages into it, once; nothing happens while the requirement files are unchanged.
#
#   scripts/setup-venv.sh demo     what serving and its reports need (no TensorFlow)
#   scripts/setup-venv.sh explore  and what `autopilot explore` draws with
#   scripts/setup-venv.sh docs     and what makes the site of docs/
#   scripts/setup-venv.sh train    what training needs on top: TensorFlow
#   scripts/setup-venv.sh desk     and what the client needs
#   scripts/setup-venv.sh all      everything, for the tests and the linters
#
# Works as root or not, with any Python from 3.11 on. PYTHON names one; VENV another place than .venv.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."
venv=${VENV:-.venv}

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
patiently() { scripts/with-progress.sh setup "$@"; } # none of these steps is silent for longer than ten seconds

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.14; do
        [ -n "$candidate" ] || continue
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "$candidate"
        return
    done
    die "no Python 3.11 or newer here; on Debian or Ubuntu: sudo apt-get install python3 python3-venv"
}

as_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

pip_from_archive() {
    local fetched
    fetched=$(mktemp -d)
    (cd "$fetched" && apt-get download -qq python3-pip-whl && dpkg -x python3-pip-whl_*.deb .) >/dev/null 2>&1 \
        && "$venv/bin/python" -m zipfile -e "$fetched"/usr/share/python-wheels/pip-*.whl "$1" \
        && rm -rf "$fetched"
}

# Debian and Ubuntu ship Python without what makes virtual environments: several ways to get there.
make_venv() {
    local python=$1
    rm -rf "$venv"
    "$python" -m venv "$venv" >/dev/null 2>&1 && return
    rm -rf "$venv"
    if as_root; then
        local package
        package=$("$python" -c 'import sys; print(f"python3.{sys.version_info.minor}-venv")')
        say "installing $package"
        patiently apt-get update \
            && DEBIAN_FRONTEND=noninteractive patiently apt-get install -y --no-install-recommends "$package"
        "$python" -m venv "$venv" && return
    fi
    # An environment without pip is always possible; pip comes from outside, or out of a package that any user may fetch.
    "$python" -m venv --without-pip "$venv" || die "this Python makes no virtual environments: $python"
    "$python" -m pip --python "$venv/bin/python" install --quiet pip >/dev/null 2>&1 && return
    pip_from_archive "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && return
    rm -rf "$venv"
    die "no pip to be had for a virtual environment; run this first: sudo apt-get install python3-venv"
}

case ${1:-} in
    demo) files=(container/requirements-serve.txt container/requirements-report.txt) ;;
    desk) files=(container/requirements-serve.txt container/requirements-report.txt client/requirements.txt) ;;
    explore) files=(container/requirements-serve.txt container/requirements-report.txt container/requirements-explore.txt) ;;
    docs) files=(container/requirements-serve.txt container/requirements-report.txt docs/requirements.txt) ;;
    train) files=(container/requirements-serve.txt container/requirements-report.txt container/requirements-train.txt) ;;
    all) files=(requirements.txt container/requirements-*.txt client/requirements.txt deploy/requirements.txt docs/requirements.txt tests/requirements.txt) ;;
    *) die "say which set: demo, explore, desk, docs, train or all" ;;
esac
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    make_venv "$python"
fi

stamp=$venv/installed-$1
wanted=$(cat pyproject.toml "${files[@]}" | sha256sum)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
requirements=("${files[@]}")
[ "$1" != all ] || requirements=(requirements.txt)
say "installing packages into $venv (once; $([ "$1" = demo ] && echo 'about a minute' || echo 'with TensorFlow: some minutes'))"
patiently "$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check \
    "setuptools>=77" "${requirements[@]/#/-r}"
PYTHONWARNINGS=ignore patiently "$venv/bin/python" -m pip install --disable-pip-version-check \
    --no-deps --no-build-isolation --editable .
echo "$wanted" >"$stamp"
