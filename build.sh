#!/usr/bin/env bash
# Build the image and push it to Amazon ECR.
#
#   ./build.sh [--local] [--target TARGET] [NAME]   the container            (NAME: autopilot, or autopilot-TARGET)
#   ./build.sh [--local] client [NAME]              the in-cluster client    (NAME: autopilot-client)
#
#   --local          only build
#   --target serve   the slim image that only serves
#   --target ray     the full image, and Ray: training jobs of several hosts, backtests on a cluster
#
# Environment:
#   AWS_REGION       region of the registry (default: AWS_DEFAULT_REGION, then what your AWS configuration says)
#   REGISTRY         push to this registry instead of ECR (host[:port]); no AWS is asked
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST, http_proxy, https_proxy, no_proxy
#                    passed to the build where set; an index in your pip configuration is passed as well
#   BASE_IMAGE       another image to start from (default: debian:trixie-slim)
set -euo pipefail

say() { printf 'build: %s\n' "$*" >&2; }
die() { say "$*"; exit 2; }
usage() { sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; }

read_arguments() {
    push=yes target='' what=container name=''
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) usage; exit 0 ;;
            --local) push=no ;;
            --target) [ $# -ge 2 ] || die "--target needs a name: serve, full or ray"; target=$2; shift ;;
            --target=*) target=${1#*=} ;;
            -*) die "unknown option $1; see ./build.sh --help" ;;
            client) what=client ;;
            *) [ -z "$name" ] || die "one name only, not '$name' and '$1'"; name=$1 ;;
        esac
        shift
    done
    case $what:$target in
        container: | container:full) name=${name:-autopilot} target=full ;;
        container:serve | container:ray) name=${name:-autopilot-$target} ;;
        client:) name=${name:-autopilot-client} ;;
        *) die "--target takes serve, full or ray, and is for the container only" ;;
    esac
}

# An index from pip's own configuration, where it is a URL that a build can reach too.
configured() {
    python3 -m pip config get "global.$1" 2>/dev/null | tr ' ' '\n' | grep -E '^https?://' | tr '\n' ' ' | sed 's/ $//' || true
}

build_arguments() {
    local variable value
    for variable in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST BASE_IMAGE \
        http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        value=${!variable:-}
        case $variable in
            PIP_INDEX_URL) value=${value:-$(configured index-url)} ;;
            PIP_EXTRA_INDEX_URL) value=${value:-$(configured extra-index-url)} ;;
            PIP_TRUSTED_HOST) value=${value:-$(python3 -m pip config get global.trusted-host 2>/dev/null || true)} ;;
        esac
        [ -z "$value" ] || arguments+=(--build-arg "$variable=$value")
    done
}

build() {
    local context=. arguments=(--build-arg "REVISION=$revision" --build-arg "VERSION=$version")
    arguments+=(--tag "$name:$revision" --tag "$name:$version" --tag "$name:latest")
    build_arguments
    [ -z "$target" ] || arguments+=(--target "$target")
    if [ "$what" = client ]; then
        [ -f client/Dockerfile ] || die "client/Dockerfile does not exist"
        context=client
    fi
    say "building $name:$revision"
    docker build "${arguments[@]}" "$context"
}

# Where to push to: asked before the build, which takes minutes.
find_registry() {
    if [ -n "${REGISTRY:-}" ]; then
        registry=$REGISTRY
        return
    fi
    command -v aws >/dev/null || die "the AWS command line is not installed; use --local, or set REGISTRY"
    region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
    [ -n "$region" ] || die "no region to push to: set AWS_REGION or AWS_DEFAULT_REGION, or use --local"
    local account
    account=$(aws sts get-caller-identity --region "$region" --query Account --output text) \
        || die "AWS does not know who you are (see above): log in, or use --local"
    registry=$account.dkr.ecr.$region.amazonaws.com
    case $region in cn-*) registry=$registry.cn ;; esac
}

# In ECR the repository is created if it is missing, and docker is logged in.
open_registry() {
    [ -z "${REGISTRY:-}" ] || return 0
    aws ecr describe-repositories --region "$region" --repository-names "$name" >/dev/null 2>&1 \
        || aws ecr create-repository --region "$region" --repository-name "$name" \
            --image-scanning-configuration scanOnPush=true >/dev/null
    aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry" >&2
}

push() {
    local tag
    for tag in "$revision" "$version" latest; do
        docker tag "$name:$revision" "$registry/$name:$tag"
        docker push --quiet "$registry/$name:$tag" >&2
    done
    echo "uri     $registry/$name:$revision"
    echo "digest  $(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$revision" \
        | grep -F "$registry/$name@" | head -n 1)"
}

cd -- "$(dirname -- "$0")"
read_arguments "$@"
command -v docker >/dev/null || die "docker is not installed"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' container/autopilot/__init__.py)
revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unversioned)
[ -z "$(git status --porcelain --untracked-files=no 2>/dev/null)" ] || revision=$revision-modified
[ "$push" = no ] || find_registry
build
if [ "$push" = yes ]; then
    open_registry
    push
else
    echo "image   $name:$revision"
fi
