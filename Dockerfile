# The demo, or any subcommand, in a container.
#   docker build --tag ganaug .
#   docker run --rm --volume "$PWD/out:/work/demo" ganaug
#   docker run --rm --gpus all --volume "$PWD:/data" --workdir /data ganaug ganaug fit --model DCGAN --data ImageFolder --data.path photos
# With CUDA: --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=https://download.pytorch.org/whl/cu128
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG TORCH=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 PATH=/opt/ganaug/bin:$PATH

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && if ! command -v python3 >/dev/null; then apt-get install --yes --no-install-recommends python3 python3-venv; fi \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -m venv /opt/ganaug

WORKDIR /work
RUN pip install "torch>=2.11,<3" "torchvision>=0.26" --index-url "${TORCH}"
COPY pyproject.toml README.md LICENSE Makefile ./
COPY ganaug ganaug
COPY datamodules datamodules
COPY experiments experiments
RUN pip install --editable . && mkdir .venv && touch .venv/installed && ln -s /opt/ganaug/bin .venv/bin

CMD ["make", "demo"]
