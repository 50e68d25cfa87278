"""From the format of an older database to the present one. Layer: storage.

To change the tables: raise :data:`~tagfs.storage.catalog.schema.FORMAT`, and append to :data:`STEPS` what turns the format
before it into the new one. All steps happen in one transaction, after a copy of the database was put beside it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping

from tagfs.errors import StartError
from tagfs.storage.catalog.schema import APPLICATION, FORMAT, sync_directory

Step = Callable[[sqlite3.Connection], None]
"""Changes the tables of one format into those of the next; in a transaction that it neither begins nor ends."""

STEPS: Mapping[int, Step] = {}
"""By the format it begins with."""


def format_of(connection: sqlite3.Connection) -> int | None:
    """The format of a database; None for an empty one. Raises StartError for one that is no catalog."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return int(version)
    if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise StartError("the database is no catalog of tagfs; choose another data directory")
    return None


def migrate(
    connection: sqlite3.Connection, path: str, *, to: int = FORMAT, steps: Mapping[int, Step] = STEPS
) -> str | None:
    """Brings the database at ``path`` to the format ``to``; returns the path of the copy made of the older one, or None
    where there was nothing to do. Raises StartError for a newer format, or one that is too old."""
    found = format_of(connection)
    assert found is not None
    if found == to:
        return None
    if found > to:
        raise StartError(
            f"the catalog {path} has format {found}, and this version of tagfs knows none above {to}: "
            "start it with the version that wrote it, or a later one"
        )
    if any(version not in steps for version in range(found, to)):
        raise StartError(f"the catalog {path} has format {found}, which this version of tagfs cannot read any more")
    copy = f"{path}.format{found}"
    _copy(connection, copy)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for version in range(found, to):
            steps[version](connection)
        connection.execute(f"PRAGMA user_version = {to}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return copy


def _copy(connection: sqlite3.Connection, path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)  # of an attempt that was cut off
    target = sqlite3.connect(path)
    try:
        connection.backup(target)
    finally:
        target.close()
    sync_directory(os.path.dirname(path) or ".")
