#!/usr/bin/env bash
# Write the overlay `deployment` (or the one named) as one file for `kubectl apply -f`: after every change of the specs.
#   client/specs/render.sh [OVERLAY] > autopilot-client-deploy.yaml      without arguments: the file beside this one
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd)
overlay=${1:-deployment}
render() {
    echo "# The overlay client/specs/$overlay in one file, made by client/specs/render.sh: change the overlay, not this."
    kubectl kustomize "$here/$overlay"
}
if [ $# -gt 0 ]; then
    render
else
    text=$(render)
    printf '%s\n' "$text" >"$here/autopilot-client-deploy.yaml"
    echo "wrote $here/autopilot-client-deploy.yaml"
fi
