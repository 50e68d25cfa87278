"""What the web endpoint is measured against: bare twisted.web, and nginx; each as a process of its own.

``python -m benchmarks.bare FILE DIRECTORY`` serves the bytes of ``FILE`` at ``/bytes`` and ``DIRECTORY`` at ``/files`` on a free port of
the loopback interface, and prints the port. Without an access log, as tagfs has none.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.campaigns.node_process import ROOT

_NGINX = """\
daemon off;
{user}
worker_processes 1;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port}; root {files}; }}
}}
"""


def serve(file: Path, directory: Path) -> None:
    """Serves until the process is ended."""
    from twisted.internet.defer import Deferred
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.task import react
    from twisted.web.resource import Resource
    from twisted.web.server import Request, Site
    from twisted.web.static import File

    data = file.read_bytes()

    class Bytes(Resource):
        isLeaf = True

        def render_GET(self, request: Request) -> bytes:
            request.setHeader("content-type", "application/json")
            return data

    root = Resource()
    root.putChild(b"bytes", Bytes())  # type: ignore[no-untyped-call]
    root.putChild(b"files", File(str(directory)))
    site = Site(root)
    site.log = lambda request: None  # type: ignore[method-assign]

    async def listen(reactor: Any) -> None:
        port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(site)
        print(port.getHost().port, flush=True)
        await Deferred()

    react(lambda reactor: Deferred.fromCoroutine(listen(reactor)))


@contextmanager
def bare_twisted(file: Path, directory: Path) -> Iterator[str]:
    """The address of a bare twisted.web."""
    command = [sys.executable, "-m", "benchmarks.bare", str(file), str(directory)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def nginx(directory: Path, files: Path) -> Iterator[str | None]:
    """The address of an nginx that serves ``files`` by sendfile; None where it is not installed."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # Started by root, its worker would be somebody who may not read the files.
    user = "user root;" if os.geteuid() == 0 else ""
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(user=user, directory=directory, port=port, files=files))
    process = subprocess.Popen([program, "-c", str(config), "-p", str(directory)], stderr=subprocess.DEVNULL)
    try:
        _until_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("nginx does not listen")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
