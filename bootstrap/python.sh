# Finds a Python that can build a virtual environment, and sets $python to it. Read in by ./run and ./test; POSIX sh.
# Where there is none: root installs Debian's (the command is shown first); anyone else is told the line, exit code 2.

packages="python3 python3-venv"

usable() {
    command -v "$1" >/dev/null 2>&1 || return 1
    "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in ${PYTHON:-} python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        if usable "$python"; then
            return 0
        fi
    done
    return 1
}

if ! find_python; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "tagfs needs Python 3.11 or later with its venv and ensurepip modules; install it, or name it by PYTHON=…" >&2
        exit 2
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "tagfs needs Python 3.11 or later with venv: sudo apt-get install $packages" >&2
        exit 2
    fi
    echo "Installing Python: apt-get update && apt-get install -y --no-install-recommends $packages" >&2
    # shellcheck disable=SC2086 # two packages, two words
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $packages; } >&2
    then
        echo "tagfs: apt-get failed; it said why above" >&2
        exit 2
    fi
    if ! find_python; then
        echo "tagfs needs Python 3.11 or later; this system's packages have only $(python3 --version 2>&1)" >&2
        exit 2
    fi
fi
