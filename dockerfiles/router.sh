#!/bin/sh
# Waits, while the kernel forwards. SIGTERM ends it.
set -eu
if [ "$(cat /proc/sys/net/ipv4/ip_forward)" != 1 ]; then
    echo "router: run this container with --sysctl net.ipv4.ip_forward=1" >&2
    exit 78
fi
trap 'exit 0' TERM INT
ip -4 address show | sed -n 's/^ *inet \([^ ]*\).* \([^ ]*\)$/router: \1 on \2/p'
while :; do
    sleep 3600 &
    wait $!
done
