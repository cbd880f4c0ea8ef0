# GameServer Autopilot, for SageMaker and for plain Docker.
#
#   docker build -t autopilot .                          train, serve and backtest (TensorFlow: about 2 GB)
#   docker build -t autopilot:serve --target serve .     serve only
#   docker build -t autopilot:ray --target ray .         train, serve and backtest, and Ray: jobs of several hosts
#
# Built by BuildKit and by the legacy builder alike. A package index other than the default one is given by build
# arguments (build.sh passes on your own settings); they exist in the build stages only.

ARG BASE_IMAGE=debian:trixie-slim

FROM ${BASE_IMAGE} AS runtime
# Security updates of Debian stable are wanted, so exact versions are the distribution's business.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates nginx python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*

FROM runtime AS program
ENV PATH=/opt/program:/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/opt/program \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY container /opt/program
# Compiled once, here: nothing is written when it runs. Unchecked: no file is compared with its source at each start.
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/program \
    && chmod -R o+rX /opt/program
WORKDIR /opt/program
EXPOSE 8080
# No USER: the platform asks for root. Nothing is written outside /tmp (and, by `train`, /opt/ml).
ENTRYPOINT ["/opt/program/entrypoint"]
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      org.opencontainers.image.title="GameServer Autopilot" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="Safe allocations for game-server fleets, on SageMaker or in plain Docker"

FROM runtime AS build-serve
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/venv
COPY container/requirements-serve.txt /tmp/
RUN /opt/venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check \
        -r /tmp/requirements-serve.txt
# Of the AWS services only those that the history and its credentials need; no tests, no type stubs, no pip. Of uvloop
# nine tenths are for a debugger.
WORKDIR /opt/venv/lib/python3.13/site-packages
RUN find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name dynamodb ! -name sts ! -name sso ! -name sso-oidc \
        -exec rm -rf {} + \
    && find . -type d \( -name tests -o -path ./boto3/examples -o -path ./numpy/_core/include \) -prune -exec rm -rf {} + \
    && find . -name '*.pyi' -delete \
    && strip --strip-debug uvloop/*.so \
    && cp -a /opt/venv /opt/venv-slim \
    && rm -rf /opt/venv-slim/lib/python3.13/site-packages/pip* /opt/venv-slim/bin/pip* \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv-slim \
    && chmod -R o+rX /opt/venv-slim

FROM program AS serve
RUN rm -f train backtest
COPY --from=build-serve /opt/venv-slim /opt/venv
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.revision=${REVISION} org.opencontainers.image.version=${VERSION}

FROM build-serve AS build-full
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY container/requirements-report.txt container/requirements-train.txt /tmp/
RUN /opt/venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check \
        -r /tmp/requirements-report.txt -r /tmp/requirements-train.txt
RUN find . -type d \( -name tests -o -path ./tensorflow/include -o -path ./clang \) -prune -exec rm -rf {} + \
    && find . -name '*.pyi' -delete \
    && rm -rf pip pip-* /opt/venv/bin/pip* \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv \
    && chmod -R o+rX /opt/venv

FROM program AS full
ENV MPLCONFIGDIR=/tmp/matplotlib
COPY --from=build-full /opt/venv /opt/venv
ARG REVISION=unknown
ARG VERSION=unknown
LABEL org.opencontainers.image.revision=${REVISION} org.opencontainers.image.version=${VERSION}

FROM build-full AS build-ray
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
COPY container/requirements-ray.txt /tmp/
# Beside what is there, which goes first: one layer more, and the others as they are.
RUN python3 -m venv /tmp/pip \
    && /tmp/pip/bin/python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
        --disable-pip-version-check --target /opt/ray -r /tmp/requirements-ray.txt \
    && rm -rf /opt/ray/ray/dashboard/client /opt/ray/ray/jars /opt/ray/ray/rllib /opt/ray/bin \
    && find /opt/ray -type d -name tests -prune -exec rm -rf {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/ray \
    && chmod -R o+rX /opt/ray

FROM full AS ray
COPY --from=build-ray /opt/ray /opt/ray
# Ray's workers compute what the trainer would, to the last bit.
ENV TF_ENABLE_ONEDNN_OPTS=0
RUN echo /opt/ray >/opt/venv/lib/python3.13/site-packages/ray.pth

# Without a target: the full image.
FROM full AS default
