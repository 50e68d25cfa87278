"""Peers of the tag index on the same data: PostgreSQL (text arrays under GIN) and Redis (a set per tag)."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol

from benchmarks.dataset import items
from benchmarks.measuring import batches
from tagfs.model.query import And, Not, Or, Query, Tag, parse

START_LIMIT_S = 60.0


class Peer(Protocol):
    """What is compared: the number of matches, and the first 100 rows with what a listing shows."""

    name: str

    def count(self, query: str) -> int: ...

    def first(self, query: str) -> object: ...


@contextmanager
def all_with(count: int) -> Iterator[Sequence[Peer]]:
    """The peers that this machine has, started with ``count`` entries of the data set, stopped in the end."""
    with ExitStack() as stack:
        found: list[Peer] = []
        starts: dict[str, Callable[[int], AbstractContextManager[Peer]]] = {"PostgreSQL": postgresql, "Redis": redis}
        for name, start in starts.items():
            try:
                found.append(stack.enter_context(start(count)))
            except (ImportError, FileNotFoundError) as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
        yield found


class PostgreSQL:
    """Tags as a text array under a GIN index."""

    name = "PostgreSQL"

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()

    def count(self, query: str) -> int:
        where, values = _where(parse(query))
        self._cursor.execute(f"SELECT count(*) FROM entry WHERE {where}", values)
        return int(self._cursor.fetchone()[0])

    def first(self, query: str) -> object:
        where, values = _where(parse(query))
        self._cursor.execute(
            f"SELECT id, size, modified, name, tags FROM entry WHERE {where} ORDER BY id DESC LIMIT 100", values
        )
        return self._cursor.fetchall()


def _where(query: Query) -> tuple[str, list[list[str]]]:
    match query:
        case Tag(tag):
            return "tags @> %s::text[]", [[tag]]
        case And(parts) if all(isinstance(part, Tag) for part in parts):
            return "tags @> %s::text[]", [[part.tag for part in parts if isinstance(part, Tag)]]
        case Or(parts) if all(isinstance(part, Tag) for part in parts):
            return "tags && %s::text[]", [[part.tag for part in parts if isinstance(part, Tag)]]
        case And((Tag(some), Not(Tag(other)))):
            return "tags @> %s::text[] AND NOT tags @> %s::text[]", [[some], [other]]
    raise AssertionError(f"no benchmark asks {query}")


@contextmanager
def postgresql(count: int) -> Iterator[PostgreSQL]:
    """A PostgreSQL server of our own, filled."""
    import psycopg

    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not binaries:
        raise FileNotFoundError("apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="tagfs-pg-") as directory:
        user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(directory, "postgres", "postgres")
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = f"{directory}/data"
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": directory}
        subprocess.run(
            [f"{binaries[-1]}/initdb", "-D", data, "-A", "trust", "-U", "bench"], check=True, **quiet, **user
        )
        server = subprocess.Popen(
            [
                f"{binaries[-1]}/postgres",
                "-D",
                data,
                "-k",
                directory,
                "-c",
                "listen_addresses=",
                "-c",
                "shared_buffers=1GB",
            ],
            **quiet,
            **user,
        )
        try:
            connection = _wait(
                lambda: psycopg.connect(host=directory, user="bench", dbname="postgres", autocommit=True)
            )
            _fill_postgresql(connection, count)
            yield PostgreSQL(connection)
            connection.close()
        finally:
            server.terminate()
            server.wait()


def _fill_postgresql(connection: Any, count: int) -> None:
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE entry (id bigint PRIMARY KEY, name text, size bigint, modified bigint, tags text[])")
    with cursor.copy("COPY entry FROM STDIN") as copy:
        for item in items(count):
            copy.write_row((item.number, item.name, item.size, item.modified, list(item.tags)))
    cursor.execute("CREATE INDEX ON entry USING gin (tags)")
    cursor.execute("VACUUM ANALYZE entry")


class Redis:
    """A set of entry numbers per tag, and a hash per entry for the rows."""

    name = "Redis"

    def __init__(self, client: Any) -> None:
        self._client = client

    def count(self, query: str) -> int:
        match parse(query):
            case Tag(tag):
                return int(self._client.scard(tag))
            case And(parts) if all(isinstance(part, Tag) for part in parts):
                return int(self._client.sintercard(len(parts), [part.tag for part in parts if isinstance(part, Tag)]))
        return self._store(query)

    def first(self, query: str) -> object:
        """The newest hundred: Redis sorts what it computed."""
        self._store(query)
        numbers = self._client.sort("result", desc=True, start=0, num=100)
        pipe = self._client.pipeline(transaction=False)
        for number in numbers:
            pipe.hgetall(f"entry:{int(number)}")
        return pipe.execute()

    def _store(self, query: str) -> int:
        match parse(query):
            case Tag(tag):
                return int(self._client.sunionstore("result", [tag]))
            case Or(parts):
                return int(self._client.sunionstore("result", [part.tag for part in parts if isinstance(part, Tag)]))
            case And((Tag(some), Not(Tag(other)))):
                return int(self._client.sdiffstore("result", [some, other]))
            case And(parts):
                return int(self._client.sinterstore("result", [part.tag for part in parts if isinstance(part, Tag)]))
        raise AssertionError(f"no benchmark asks {query}")


@contextmanager
def redis(count: int) -> Iterator[Redis]:
    """A Redis server of our own, filled."""
    import redis as client_library

    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="tagfs-redis-") as directory:
        path = f"{directory}/socket"
        server = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", directory], stdout=subprocess.DEVNULL
        )
        try:
            client = client_library.Redis(unix_socket_path=path)
            _wait(client.ping)
            for batch in batches(items(count), 10_000):
                pipe = client.pipeline(transaction=False)
                for item in batch:
                    number, name, size, modified, tags = item
                    pipe.hset(
                        f"entry:{number}",
                        mapping={"name": name, "size": size, "modified": modified, "tags": " ".join(tags)},
                    )
                    for tag in tags:
                        pipe.sadd(tag, number)
                pipe.execute()
            yield Redis(client)
            client.close()
        finally:
            server.terminate()
            server.wait()


def _wait(attempt: Any) -> Any:
    """The result of the first attempt that does not fail."""
    deadline = time.monotonic() + START_LIMIT_S
    while True:
        try:
            return attempt()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
