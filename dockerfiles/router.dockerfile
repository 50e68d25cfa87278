# Joins container networks as a router joins the networks of two houses: to try a cluster whose nodes do not all share one
# network, and to cut it. Production needs none (docs/architecture/networks.md).
#
# Run it on all the networks, with NET_ADMIN and the sysctl net.ipv4.ip_forward=1; the others need a route over it.

# Where no registry is, another base takes its place: anything with a shell and `ip` (iproute2, or busybox).
ARG BASE=alpine:3.22
FROM ${BASE}

COPY dockerfiles/router.sh /usr/local/bin/router
RUN chmod 755 /usr/local/bin/router
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --retries=3 CMD ["grep", "-q", "1", "/proc/sys/net/ipv4/ip_forward"]
ENTRYPOINT ["router"]
