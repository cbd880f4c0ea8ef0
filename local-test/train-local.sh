#!/usr/bin/env bash
# Train in the container as SageMaker does, on test-dir/ as /opt/ml:   ./train-local.sh [IMAGE]
set -euo pipefail
cd -- "$(dirname -- "$0")"
image=${1:-autopilot}
mkdir -p test-dir/model test-dir/output
# What the container wrote last time belongs to root, so the container removes it.
docker run --rm --network none -v "$PWD/test-dir:/opt/ml" --entrypoint sh "$image" \
    -c 'rm -rf /opt/ml/model/* /opt/ml/output/* /opt/ml/checkpoints'
docker run --rm --network none -v "$PWD/test-dir:/opt/ml" "$image" train
echo "model in $PWD/test-dir/model; now ./serve-local.sh $image"
