"""The tables of the control state. ``statements`` writes and reads them, ``migrate`` creates them.

A model is kept whole, as JSON text in ``body``; the other columns are only what a query selects or sorts by. A field
added to a model therefore needs no migration. Times are microseconds since the Unix epoch, UTC: they sort, and they
keep what a ``datetime`` holds.
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

metadata = MetaData()

_Sequence = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER PRIMARY KEY counts up by itself in SQLite

issues = Table(
    "issues",
    metadata,
    Column("id", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", String, nullable=False),
    Column("incident_id", String),
    Column("opened_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("issues_by_opening", "opened_at"),
    Index("issues_by_status", "status", "opened_at"),
    Index("issues_by_fingerprint", "fingerprint"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, primary_key=True),
    Column("status", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("incidents_by_opening", "opened_at"),
    Index("incidents_by_status", "status", "opened_at"),
)

timeline = Table(
    "timeline",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("incident_id", String),
    Column("time", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("timeline_by_time", "time"),
    Index("timeline_by_incident", "incident_id", "time"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("run_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("run_events_by_run", "run_id", "seq"),
)
"""Append-only: every state that a run was ever recorded in."""

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("incident_id", String, nullable=False),
    Column("status", String, nullable=False),
    Column("terminal", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("rearmed_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("runs_by_creation", "created_at"),
    Index("runs_by_incident", "incident_id", "created_at"),
    Index("runs_by_status", "status", "created_at"),
    Index("runs_by_end", "terminal", "created_at"),
)
"""The latest state of each run, written in the same transaction as its event."""

flag_values = Table(
    "flag_values",
    metadata,
    Column("flag", String, primary_key=True),
    Column("value", Boolean, nullable=False),
    Column("armed", Boolean, nullable=False),
)
"""Flags that were ever changed. ``armed``: the value that is meant, whatever healing has made of it for now."""

flag_changes = Table(
    "flag_changes",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("flag", String, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("flag_changes_by_time", "time"),
)

settings = Table(
    "settings",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", Text, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("seq", _Sequence, primary_key=True),
    Column("kind", String, nullable=False),
    Column("id", String, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "id", name="documents_by_kind"),
)
"""Definitions that people make. They are theirs: retention leaves them alone."""

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("type", String, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("last_at", BigInteger),
    Column("body", Text, nullable=False),
    Index("events_by_time", "time"),
    Index("events_by_last", "last_at"),
)
"""Events around the system. ``last_at``: when it was over (a deployment at once); NULL while it lasts."""
