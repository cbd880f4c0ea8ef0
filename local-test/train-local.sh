#!/usr/bin/env bash
# Train in the container as SageMaker does, on test-dir/ as /opt/ml:   ./train-local.sh [IMAGE]
set -euo pipefail
cd -- "$(dirname -- "$0")"
image=${1:-autopilot}
mkdir -p test-dir/model test-dir/output
rm -rf test-dir/model/* test-dir/output/* test-dir/checkpoints
docker run --rm --network none -v "$PWD/test-dir:/opt/ml" "$image" train
echo "model in $PWD/test-dir/model; now ./serve-local.sh $image"
