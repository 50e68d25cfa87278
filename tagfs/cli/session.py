"""What all commands share: where the node is, who asks, how to print, and one connection made when first needed. Layer: cli."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tagfs.cli.failure import Failure, UsageFailure

if TYPE_CHECKING:
    import ssl

    from tagfs.client import Client

DEBUG = "TAGFS_DEBUG"
"""Environment variable: when set, errors are shown with their traceback."""
MAX_PASSWORD_FILE = 4096
"""Bytes read of a password file; its first line is the password."""


@dataclass
class Session:
    """The global options, and the connection."""

    server: str | None = None
    user: str | None = None
    password_file: str | None = None
    json: bool = False
    timeout: float = 60.0
    tls: bool = False
    tls_certificate: str | None = None
    _client: Client | None = None

    def client(self) -> Client:
        """The connection to the node, made on first use."""
        if self._client is None:
            self._client = self.connect(self.timeout)
        return self._client

    def connect(self, timeout: float) -> Client:
        """A new connection."""
        from tagfs.client import DEFAULT_ADDRESS, BadAddress, Client, parse_address

        try:
            address = parse_address(self.server) if self.server else DEFAULT_ADDRESS
        except BadAddress as error:
            raise UsageFailure(f"--server: {error}") from error
        return Client(address.host, address.port, self.user, self._password, timeout, self._tls_context())

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _password(self) -> str:
        if self.password_file:
            return read_password(self.password_file)
        if sys.stdin.isatty() and sys.stderr.isatty():
            return str(click.prompt(f"Password of {self.user}", hide_input=True, err=True))
        raise UsageFailure(
            f"the user {self.user} needs a password: put it in a file and name it in TAGFS_PASSWORD_FILE"
        )

    def _tls_context(self) -> ssl.SSLContext | None:
        if not (self.tls or self.tls_certificate):
            return None
        import ssl

        if not self.tls_certificate:
            return ssl.create_default_context()
        try:
            context = ssl.create_default_context(cafile=self.tls_certificate)
        except OSError as error:
            raise Failure(f"{self.tls_certificate}: {error.strerror or error}") from error
        # A node's own certificate is named by the operator: who holds its key is the node, whatever it is called.
        context.check_hostname = False
        return context


def read_password(path: str) -> str:
    """The first line of a file, or of the standard input for ``-``."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            data = file.read(MAX_PASSWORD_FILE)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error
    password = data.decode("utf-8", "surrogateescape").split("\n")[0].rstrip("\r")
    if not password:
        raise Failure(f"{path}: no password in its first line")
    return password


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return bool(os.environ.get(DEBUG))


pass_session = click.make_pass_decorator(Session, ensure=True)
