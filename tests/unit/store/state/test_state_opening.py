"""Opening the control state: new, current, older, newer, and files that are something else."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from homeostat.core.errors import StoreCorruptError, StoreError
from homeostat.runtime import SystemClock
from homeostat.store.state import migrate, open_state
from homeostat.store.state.schema import metadata


async def opened_once(path: Path) -> None:
    async with open_state(path, SystemClock()).opened() as store:
        await store.put_setting("k", "1")


def shape(path: Path) -> dict[str, object]:
    """Columns, keys and indexes of every table."""
    engine = create_engine(f"sqlite:///{path}")
    inspector = inspect(engine)
    found: dict[str, object] = {}
    for table in sorted(inspector.get_table_names()):
        columns = [
            (c["name"], str(c["type"]), c["nullable"], c["default"], c["primary_key"])
            for c in inspector.get_columns(table)
        ]
        indexes = sorted(
            (str(i["name"]), tuple(i["column_names"]), bool(i["unique"])) for i in inspector.get_indexes(table)
        )
        unique = sorted(tuple(u["column_names"]) for u in inspector.get_unique_constraints(table))
        found[table] = (columns, indexes, unique)
    engine.dispose()
    return found


class TestSchema:
    async def test_a_new_file_has_the_schema_that_the_migrations_make(self, tmp_path: Path) -> None:
        await opened_once(tmp_path / "new.db")
        engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
        with engine.begin() as connection:
            migrate._upgrade(connection)
        engine.dispose()
        assert shape(tmp_path / "new.db") == shape(tmp_path / "migrated.db")

    def test_the_known_revisions_are_those_in_the_folder(self) -> None:
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        config = Config()
        config.set_main_option("script_location", str(migrate.MIGRATIONS))
        scripts = ScriptDirectory.from_config(config)
        assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == migrate.REVISIONS

    async def test_an_older_database_is_migrated_and_keeps_its_content(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "state.db"
        await opened_once(path)
        folder = tmp_path / "migrations"
        copy_with_another_revision(folder)
        monkeypatch.setattr(migrate, "MIGRATIONS", folder)
        monkeypatch.setattr(migrate, "REVISIONS", (*migrate.REVISIONS, "9001"))
        async with open_state(path, SystemClock()).opened() as store:
            assert await store.get_setting("k") == "1"
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9001",)]
            assert connection.execute("SELECT count(*) FROM added_later").fetchone() == (0,)
        connection.close()

    def test_opening_a_current_database_does_not_even_load_alembic(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        asyncio.run(opened_once(path))
        program = (
            "import asyncio, sys; from pathlib import Path; from homeostat.runtime import SystemClock;"
            "from homeostat.store.state import open_state\n"
            f"async def main():\n    async with open_state(Path({str(path)!r}), SystemClock()).opened(): pass\n"
            "asyncio.run(main()); print('alembic' in sys.modules)"
        )
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "False"

    def test_every_table_is_in_the_metadata_once(self) -> None:
        assert set(metadata.tables) == {
            *("issues", "incidents", "timeline", "run_events", "runs", "flag_values", "flag_changes", "settings"),
            *("documents", "events"),
        }


def copy_with_another_revision(folder: Path) -> None:
    """The shipped migrations and one more, as a later version would have it."""
    (folder / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako"):
        (folder / name).write_text((migrate.MIGRATIONS / name).read_text())
    for file in (migrate.MIGRATIONS / "versions").glob("v*.py"):
        (folder / "versions" / file.name).write_text(file.read_text())
    (folder / "versions" / "v9001_later.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision = '9001'\ndown_revision = {migrate.REVISIONS[-1]!r}\n"
        "def upgrade():\n    op.create_table('added_later', sa.Column('id', sa.Integer, primary_key=True))\n"
    )


class TestRefusals:
    async def test_a_newer_database_is_left_alone_and_says_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        await opened_once(path)
        connection = sqlite3.connect(path)
        connection.execute("UPDATE alembic_version SET version_num = '7777'")
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match=r"newer Homeostat \(schema 7777.*Install that version"):
            await opened_once(path)

    @pytest.mark.parametrize(
        "content",
        [b"not a database at all, but long enough to have a header" * 20, b"SQLite format 3\0" + b"\xff" * 4096],
    )
    async def test_a_file_that_is_no_database_is_named_with_a_remedy(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "state.db"
        path.write_bytes(content)
        with pytest.raises(StoreCorruptError) as caught:
            await opened_once(path)
        assert str(path) in str(caught.value)
        assert "move state.db" in str(caught.value)
        assert path.read_bytes() == content

    async def test_a_database_of_something_else_is_not_touched(self, tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE customers (id INTEGER)")
        connection.commit()
        connection.close()
        with pytest.raises(StoreCorruptError, match="customers"):
            await opened_once(path)
        connection = sqlite3.connect(path)
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
        connection.close()

    async def test_damaged_pages_are_told_when_they_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "state.db"
        async with open_state(path, SystemClock()).opened() as store:
            for number in range(200):
                await store.put_setting(f"key-{number}", "x" * 500)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(path.stat().st_size - 4096))

        async def read_everything() -> None:
            async with open_state(path, SystemClock()).opened() as store:
                for number in range(200):
                    await store.get_setting(f"key-{number}")

        with pytest.raises(StoreCorruptError, match=r"state\.db"):
            await read_everything()

    async def test_a_folder_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StoreError, match=r"storage\.path"):
            await opened_once(tmp_path / "file" / "data" / "state.db")

    async def test_a_path_that_is_a_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "state.db").mkdir()
        with pytest.raises(StoreError, match="cannot be opened"):
            await opened_once(tmp_path / "state.db")

    async def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        store = open_state(tmp_path / "state.db", SystemClock())
        for question in (store.issues(), store.put_setting("k", "1")):
            with pytest.raises(StoreError, match="not open"):
                await question
