"""The first schema: issues, incidents, timeline, journal, flags, settings."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table."""
    _findings()
    _journal()
    _flags()
    op.create_table(
        "settings", sa.Column("key", sa.String(), primary_key=True), sa.Column("value", sa.Text(), nullable=False)
    )


def _findings() -> None:
    op.create_table(
        "issues",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("incident_id", sa.String()),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("issues_by_opening", "issues", ["opened_at"])
    op.create_index("issues_by_status", "issues", ["status", "opened_at"])
    op.create_index("issues_by_fingerprint", "issues", ["fingerprint"])
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("incidents_by_opening", "incidents", ["opened_at"])
    op.create_index("incidents_by_status", "incidents", ["status", "opened_at"])
    op.create_table(
        "timeline",
        sa.Column("seq", _SEQUENCE, primary_key=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("incident_id", sa.String()),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("timeline_by_time", "timeline", ["time"])
    op.create_index("timeline_by_incident", "timeline", ["incident_id", "time"])


def _journal() -> None:
    op.create_table(
        "run_events",
        sa.Column("seq", _SEQUENCE, primary_key=True),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("run_events_by_run", "run_events", ["run_id", "seq"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("incident_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("terminal", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("rearmed_at", sa.BigInteger()),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("runs_by_creation", "runs", ["created_at"])
    op.create_index("runs_by_incident", "runs", ["incident_id", "created_at"])
    op.create_index("runs_by_status", "runs", ["status", "created_at"])
    op.create_index("runs_by_end", "runs", ["terminal", "created_at"])


def _flags() -> None:
    op.create_table(
        "flag_values",
        sa.Column("flag", sa.String(), primary_key=True),
        sa.Column("value", sa.Boolean(), nullable=False),
        sa.Column("armed", sa.Boolean(), nullable=False),
    )
    op.create_table(
        "flag_changes",
        sa.Column("seq", _SEQUENCE, primary_key=True),
        sa.Column("id", sa.String(), nullable=False, unique=True),
        sa.Column("flag", sa.String(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("flag_changes_by_time", "flag_changes", ["time"])
