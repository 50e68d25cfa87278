# The general image: Python with everything that the services of this repository require, but no service. It runs the
# service whose folder is bound to /app, or is the base of an image that has one inside (tagfs.dockerfile).
#
# A service is a folder with a twistd.tac, Twisted's file that makes an `application`. It keeps its data in /data, answers
# GET /healthz on port 8080 with 200 while it is well, is configured by its environment, and stops at SIGTERM.
#
#     tagfs-podman build          (or: podman build -f dockerfiles/distributed_python.dockerfile -t distributed_python .)

# Where no registry is, another base takes its place: a Debian with Python 3.11 or later and its venv module.
ARG BASE=python:3.13-slim
FROM ${BASE}

RUN command -v ip && command -v setpriv || { \
        apt-get update && apt-get install -y --no-install-recommends iproute2 util-linux && rm -rf /var/lib/apt/lists/*; \
    }
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin service \
    && mkdir -p /app /data && chown service:service /data \
    && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Only what names the requirements: changes of the code leave this layer, the large one, as it is. twistd writes the cache of
# its plug-ins here, since the service's user cannot.
COPY setup.py pyproject.toml /opt/requirements/
COPY tagfs/__init__.py /opt/requirements/tagfs/
RUN cd /opt/requirements && mkdir -p twisted/plugins && pip install . && pip uninstall -y tagfs \
    && rm -rf /opt/requirements && twistd --help >/dev/null

COPY dockerfiles/service.sh /usr/local/bin/service
COPY dockerfiles/healthy.py /usr/local/bin/healthy
RUN chmod 755 /usr/local/bin/service /usr/local/bin/healthy

ENV PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER service
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["healthy"]
ENTRYPOINT ["service"]
