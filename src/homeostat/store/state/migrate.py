"""Brings a database to the schema of this version. Called once by ``sqlite`` before anything else is done with it.

Three cases, cheapest first: the schema is current (one query), the file is new (tables are created directly and
stamped), or it is older (Alembic, which takes a third of a second to import, does what has to be done).
"""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from homeostat.core.errors import StoreError
from homeostat.store.state.failures import corrupt
from homeostat.store.state.schema import metadata

logger = logging.getLogger(__name__)

REVISIONS = ("0001", "0002")
"""Every revision in ``migrations/versions``, oldest first. A test holds the two together."""

VERSION_TABLE = "alembic_version"
MIGRATIONS = Path(__file__).parent / "migrations"


def bring_up_to_date(connection: Connection, path: Path) -> None:
    """Make the schema that of this version. Raises StoreError for a database written by a newer one."""
    present = current_revision(connection, path)
    if present == REVISIONS[-1]:
        return
    if present is None:
        _create(connection)
        return
    if present not in REVISIONS:
        raise StoreError(
            f"{path} was written by a newer Homeostat (schema {present}; this one knows up to {REVISIONS[-1]}). "
            "Install that version again, or set storage.path to another folder."
        )
    _upgrade(connection)
    logger.info("control state %s migrated from schema %s to %s", path, present, REVISIONS[-1])


def current_revision(connection: Connection, path: Path) -> str | None:
    """The revision that the database is stamped with; None when it is empty.

    Raises StoreCorruptError when it holds tables that are not ours.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if VERSION_TABLE not in tables:
        raise corrupt(path, f"it is a database of something else: it has the table {min(tables)!r}")
    revision = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))
    if revision is None:
        raise corrupt(path, f"its table {VERSION_TABLE!r} is empty")
    return str(revision)


def _create(connection: Connection) -> None:
    """Tables and stamp in the caller's transaction: after a crash in between there is nothing, not half of it."""
    metadata.create_all(connection)
    connection.execute(text(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:revision)"), {"revision": REVISIONS[-1]})


def _upgrade(connection: Connection) -> None:
    from alembic import command  # 0.3 s, needed once in the life of a schema version
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
