#!/bin/sh
# Runs the service in /app (distributed_python.dockerfile tells what that is), or the command that is given instead.
# SERVICE_ROUTES, words of the form SUBNET=GATEWAY, are the ways to other networks: containers on one that has a router need
# them, and with them the capability NET_ADMIN. The service itself runs without any capability, and cannot get one back.
set -eu

for route in ${SERVICE_ROUTES:-}; do
    ip route replace "${route%%=*}" via "${route#*=}"
done

if [ $# = 0 ]; then
    if [ ! -r /app ] || [ ! -x /app ]; then
        echo "service: user $(id -u) may not read the folder that is bound to /app; open it to all users" >&2
        exit 77
    fi
    if [ ! -f /app/twistd.tac ]; then
        echo "service: there is no /app/twistd.tac; bind the folder of a service to /app" >&2
        exit 66
    fi
    set -- twistd --nodaemon --no_save --pidfile= --python=/app/twistd.tac
fi
exec setpriv --inh-caps=-all --ambient-caps=-all --no-new-privs -- "$@"
