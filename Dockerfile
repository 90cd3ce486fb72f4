# The CPU image: uvgen with the versions that CI is known to pass with.
#   docker build --tag uvgen .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" uvgen build --subset IBUG --out shards/
FROM python:3.11-slim
# What Numba compiles and the built-in sample set are kept in the image, where any user can read and add to them.
ENV NUMBA_CACHE_DIR=/var/cache/uvgen/numba XDG_CACHE_HOME=/var/cache/uvgen HOME=/tmp
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --constraint requirements-ci.txt ".[mesh,huggingface,onnx,video]" \
    && uvgen build --subset IBUG --quiet --out /tmp/shards && rm -r /tmp/shards /src/build \
    && chmod --recursive a+rwX /var/cache/uvgen
WORKDIR /data
ENTRYPOINT ["uvgen"]
CMD ["--help"]
