#!/usr/bin/env bash
# Audit what the images and the tests are made of: known vulnerabilities, withdrawn releases, licences, bounds.
#
#   scripts/audit.sh             everything that can be done here; says what could not
#   scripts/audit.sh --offline   only what needs no network
#
# Ends with 1 where something is wrong. That no advisory service can be reached is said, and is not wrong: run it again
# where one can. AUDIT_SERVICE chooses it: pypi (default) or osv.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."
python=.venv/bin/python
wrong=0

say() { printf 'audit: %s\n' "$*"; }
fail() { say "WRONG: $*"; wrong=1; }

offline() {
    say "bounds, use and licences"
    "$python" -m pytest -q tests/security/test_dependencies.py || fail "see above"
    "$python" -m tests.security.packages
}

# Of everything that is installed. pip-audit also says "no known vulnerabilities" where it could look nothing up: so its
# report is read, and only what was really looked up counts.
vulnerabilities() {
    local report=$1/report.json ended=0
    say "known vulnerabilities, by pip-audit from ${AUDIT_SERVICE:-pypi}"
    "$python" -m pip_audit --local --skip-editable --progress-spinner off --timeout 15 \
        --vulnerability-service "${AUDIT_SERVICE:-pypi}" --format json --output "$report" 2>"$1/errors" || ended=$?
    if [ ! -s "$report" ]; then
        say "NOT DONE: the service cannot be reached: $(tail -n 1 "$1/errors" | cut -c 1-160)"
        return
    fi
    "$python" - "$report" <<'PYTHON' || fail "vulnerable packages (pip-audit ended with $ended)"
import json
import sys

packages = json.load(open(sys.argv[1]))["dependencies"]
seen = [one for one in packages if "vulns" in one]
print(f"audit: {len(seen)} of {len(packages)} packages looked up")
if not seen:
    print("audit: NOT DONE: the service knows none of them, so it is no copy of PyPI's with advisories")
for one in seen:
    for found in one["vulns"]:
        print(f"audit: {one['name']} {one['version']}: {found['id']}, fixed in {', '.join(found['fix_versions']) or 'none'}")
sys.exit(any(one["vulns"] for one in seen))
PYTHON
}

# Of what the serving image and the client hold, in the versions that are installed here.
withdrawn() {
    local pins ended=0
    say "withdrawn releases"
    mapfile -t pins < <("$python" -m tests.security.packages --pins)
    timeout 180 "$python" -m pip install --dry-run --no-deps --ignore-installed --quiet "${pins[@]}" >"$1/resolved" 2>&1 || ended=$?
    if grep -i 'yanked' "$1/resolved"; then
        fail "see above"
    elif [ "$ended" != 0 ]; then
        say "NOT DONE: no package index answers for all of them: $(grep -v '^WARNING' "$1/resolved" | tail -n 1 | cut -c 1-160)"
    else
        say "none of ${#pins[@]}"
    fi
}

[ "${1:-}" = --offline ] || [ $# -eq 0 ] || { sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 2; }
scripts/setup-venv.sh all
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT
offline
if [ "${1:-}" != --offline ]; then
    vulnerabilities "$kept"
    withdrawn "$kept"
fi
[ "$wrong" = 0 ] && say "nothing wrong in what could be done"
exit "$wrong"
