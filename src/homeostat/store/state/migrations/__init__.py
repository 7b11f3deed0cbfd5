"""Alembic migrations of the control state, shipped in the wheel. Run by ``migrate`` where a database is older."""
