#!/usr/bin/env bash
# Serve in the container as SageMaker does, with the model of train-local.sh if there is one:   ./serve-local.sh [IMAGE]
# The port is 8080, or PORT. Ctrl-C stops it.
set -euo pipefail
cd -- "$(dirname -- "$0")"
image=${1:-autopilot}
mkdir -p test-dir/model
exec docker run --rm --init=false -p "127.0.0.1:${PORT:-8080}:8080" -v "$PWD/test-dir/model:/opt/ml/model:ro" \
    "$image" serve
