"""The spike on PostgreSQL keeps the contract of a catalog: ours is no law for one engine.

Uses the database that TAGFS_TEST_POSTGRES (a connection string) names, else starts a server of its own.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import tempfile
import threading

import pytest

from tagfs.model.query import EVERYTHING
from tests.contracts.catalog_contract import CatalogContract
from tests.contracts.writing import Writer
from tests.system_tools import demand

psycopg = pytest.importorskip("psycopg", reason="needs psycopg (pip install 'psycopg[binary]')")

_schemas = itertools.count()


@pytest.fixture(scope="module")
def dsn(request):
    """A database to make schemas in."""
    given = os.environ.get("TAGFS_TEST_POSTGRES")
    if given:
        yield given
        return
    postgres = demand(request.config, request.node.nodeid, ["postgresql"])[0]
    binaries = os.path.dirname(os.path.realpath(postgres))
    with tempfile.TemporaryDirectory(prefix="tagfs-postgres-") as directory:
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if become:
            subprocess.run(["chown", "postgres", directory], check=True)
        data = os.path.join(directory, "data")
        start = [*become, f"{binaries}/initdb", "-D", data, "-A", "trust", "-U", "tagfs", "-E", "UTF8", "--locale=C"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL, cwd=directory)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={directory}", "-c", "fsync=off"]
        server = subprocess.Popen(
            [*become, f"{binaries}/postgres", "-D", data, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=directory,
        )
        try:
            dsn = f"host={directory} user=tagfs dbname=postgres"
            _wait_for(dsn, server)
            yield dsn
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for connections that a failed test left open
            server.wait()


def _wait_for(dsn, server):
    while True:
        assert server.poll() is None, "PostgreSQL did not start"
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            continue
        return


@pytest.fixture
def schema(dsn):
    """The name of an empty schema."""
    name = f"tagfs_test_{os.getpid()}_{next(_schemas)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield name
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.mark.slow
class TestPostgresCatalog(CatalogContract):
    @pytest.fixture
    def make_catalog(self, dsn):
        from tests.spikes.postgres_catalog import PostgresCatalog

        made = []
        with psycopg.connect(dsn, autocommit=True) as connection:

            def make(node):
                name = f"tagfs_test_{os.getpid()}_{next(_schemas)}"
                connection.execute(f"CREATE SCHEMA {name}")
                made.append((name, PostgresCatalog(dsn, name, node)))
                return made[-1][1]

            yield make
            for name, catalog in made:
                catalog.close()
                connection.execute(f"DROP SCHEMA {name} CASCADE")

    # Who holds which content is left out of the spike.
    test_holders = test_holders_follow_the_content = test_new_holdings = test_holdings = test_references = None

    def test_several_doors(self, dsn, schema):
        """Nodes without state of their own write through one engine at once, and each sees all that was acknowledged."""
        from tests.spikes.postgres_catalog import PostgresCatalog

        doors = [PostgresCatalog(dsn, schema, f"n{number}") for number in range(4)]
        shared = Writer("elsewhere").entry("shared")
        doors[0].merge([shared])
        counts = []

        def work(door):
            writer = Writer(door.node)
            for number in range(15):
                made = writer.entry(f"{door.node}-{number}")
                door.merge([made, writer.tag(shared, f"{door.node}-{number}")])
                counts.append(door.get([made.ref])[0] == made)

        threads = [threading.Thread(target=work, args=(door,)) for door in doors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [True] * 60
        for door in doors:
            assert door.count(EVERYTHING) == 61
            assert sum(door.vector().values()) == 1 + 2 * 60
            assert len(door.get([shared.ref])[0].fields) == 4 + 60
            door.close()
