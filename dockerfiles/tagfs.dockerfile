# One node of tagfs with its code inside: the general image, the installed package, and the twistd.tac that runs it.
#
#     tagfs-podman build          (or: podman build -f dockerfiles/tagfs.dockerfile -t tagfs .)

ARG BASE=distributed_python
FROM ${BASE}

USER root
COPY setup.py pyproject.toml MANIFEST.in README.md LICENSE /opt/tagfs/
COPY plugins /opt/tagfs/plugins
COPY twisted /opt/tagfs/twisted
COPY podman_utils /opt/tagfs/podman_utils
COPY tagfs /opt/tagfs/tagfs
# The requirements are in the base; a missing one fails here and not at the first start.
RUN cd /opt/tagfs && pip install --no-deps . && pip check && rm -rf /opt/tagfs && twistd --help | grep ' tagfs '
COPY twistd.tac /app/

ENV TAGFS_DATA=/data TAGFS_FTP=tcp:2121 TAGFS_WEB=tcp:8080 TAGFS_NODE=tcp:4747
USER service
EXPOSE 2121 4747 4747/udp
