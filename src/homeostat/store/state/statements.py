"""Every statement on the control state, and how a model becomes a row. Called by ``sqlite``, executed by ``writer``.

Statements are built once: SQLAlchemy then finds their compiled form in its cache, and a batch of rows goes to the
database as one ``executemany``.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.sqlite import insert

from homeostat.core.events import Event, over_at
from homeostat.core.models import (
    AUTOMATIC,
    TERMINAL_RUN_STATUSES,
    FlagChange,
    Incident,
    IncidentStatus,
    Issue,
    IssueStatus,
    Run,
    RunStatus,
    TimelineEntry,
)
from homeostat.store.state import schema

Row = Mapping[str, str | int | bool | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Microseconds since the Unix epoch, exactly."""
    return (time - _EPOCH) // _MICROSECOND


# -- findings -----------------------------------------------------------------------------------------------

_new_issue = insert(schema.issues)
SAVE_ISSUE = _new_issue.on_conflict_do_update(
    index_elements=["id"],
    set_={name: _new_issue.excluded[name] for name in ("fingerprint", "status", "incident_id", "opened_at", "body")},
)

_new_incident = insert(schema.incidents)
_had, _has = schema.incidents.c, _new_incident.excluded
_was_closed = _had.status == IncidentStatus.CLOSED.value
SAVE_INCIDENT = _new_incident.on_conflict_do_update(
    index_elements=["id"],
    set_={
        "status": _has.status,
        "opened_at": _has.opened_at,
        "body": case((_was_closed, func.json_set(_had.body, "$.healed", func.json("true"))), else_=_has.body),
    },
    where=or_(
        _had.status != IncidentStatus.CLOSED.value,
        # Closed is final, whatever older copy comes late; only that it was healed may turn out a moment after.
        and_(_has.status == IncidentStatus.CLOSED.value, func.json_extract(_has.body, "$.healed").is_(True)),
    ),
)

ADD_TIMELINE = insert(schema.timeline).on_conflict_do_nothing(index_elements=["id"])


def issue_row(issue: Issue) -> Row:
    """Row of ``issues``."""
    return {
        "id": issue.id,
        "fingerprint": issue.fingerprint,
        "status": issue.status.value,
        "incident_id": issue.incident_id,
        "opened_at": micros(issue.opened_at),
        "body": issue.model_dump_json(),
    }


def incident_row(incident: Incident) -> Row:
    """Row of ``incidents``."""
    return {
        "id": incident.id,
        "status": incident.status.value,
        "opened_at": micros(incident.opened_at),
        "body": incident.model_dump_json(),
    }


def timeline_row(entry: TimelineEntry) -> Row:
    """Row of ``timeline``."""
    return {
        "id": entry.id,
        "incident_id": entry.incident_id,
        "time": micros(entry.time),
        "body": entry.model_dump_json(),
    }


# -- the journal --------------------------------------------------------------------------------------------

APPEND_RUN_EVENT = insert(schema.run_events)

_new_run = insert(schema.runs)
_old, _new = schema.runs.c, _new_run.excluded
SAVE_RUN = _new_run.on_conflict_do_update(
    index_elements=["id"],
    set_={name: _new[name] for name in ("status", "terminal", "rearmed_at", "body")},
    where=or_(
        _old.terminal.is_(False),
        # A terminal state gives way only to a later one: a person who settles what was in doubt or takes back what
        # was verified, and recovery, which notes once when it put things back.
        and_(_new.terminal.is_(True), _old.status == RunStatus.IN_DOUBT.value),
        and_(_old.status == RunStatus.VERIFIED.value, _new.status == RunStatus.UNDONE.value),
        and_(_old.status == RunStatus.VERIFIED.value, _new.status == _old.status, _old.rearmed_at.is_(None)),
    ),
)


def run_event_row(run: Run, body: str, now: datetime) -> Row:
    """Row of ``run_events``."""
    return {"run_id": run.id, "status": run.status.value, "time": micros(now), "body": body}


def run_row(run: Run, body: str) -> Row:
    """Row of ``runs``."""
    return {
        "id": run.id,
        "incident_id": run.incident_id,
        "status": run.status.value,
        "terminal": run.status in TERMINAL_RUN_STATUSES,
        "created_at": micros(run.created_at),
        "rearmed_at": None if run.rearmed_at is None else micros(run.rearmed_at),
        "body": body,
    }


# -- retention ----------------------------------------------------------------------------------------------

FORGET_MAX = 500
"""Rows of one table that go in one transaction: writers wait behind it."""

PLAN_PREFIX = "plan:"
"""Of the settings in which healing keeps the plan of an incident; the rest of the key is the incident's id."""

_before = bindparam("before", type_=BigInteger)


def _ended_before(body: ColumnElement[str]) -> ColumnElement[bool]:
    """Did what is in ``body`` close before? It may have been open for long: then its beginning says nothing."""
    closed_s = cast(func.strftime("%s", func.json_extract(body, "$.closed_at")), BigInteger)
    return func.coalesce(closed_s * 1_000_000, 0) < _before


_incident = schema.incidents.c
_incident_over = and_(
    _incident.opened_at < _before, _incident.status == IncidentStatus.CLOSED.value, _ended_before(_incident.body)
)
_latest_changes = select(func.max(schema.flag_changes.c.seq)).group_by(schema.flag_changes.c.flag)
_plan_of = func.substr(schema.settings.c.key, len(PLAN_PREFIX) + 1)
_over = (
    (schema.timeline, schema.timeline.c.seq, schema.timeline.c.time < _before),
    (
        schema.issues,
        schema.issues.c.id,
        and_(
            schema.issues.c.opened_at < _before,
            schema.issues.c.status == IssueStatus.CLOSED.value,
            _ended_before(schema.issues.c.body),
        ),
    ),
    (schema.incidents, _incident.id, _incident_over),
    (  # after the incidents: a plan goes with its own
        schema.settings,
        schema.settings.c.key,
        and_(
            schema.settings.c.key.startswith(PLAN_PREFIX, autoescape=True),
            ~exists().where(_incident.id == _plan_of).correlate(schema.settings),
        ),
    ),
    (
        schema.flag_changes,
        schema.flag_changes.c.seq,
        and_(schema.flag_changes.c.time < _before, schema.flag_changes.c.seq.not_in(_latest_changes)),
    ),
    (schema.events, schema.events.c.id, schema.events.c.last_at < _before),
)
_FORGET = tuple(delete(table).where(key.in_(select(key).where(over).limit(FORGET_MAX))) for table, key, over in _over)
_runs = schema.runs.c
_RUNS_OVER = (
    select(_runs.id)
    .where(
        _runs.created_at < _before,
        _runs.terminal.is_(True),
        _runs.status != RunStatus.IN_DOUBT.value,
        or_(
            _runs.status != RunStatus.VERIFIED.value,
            _runs.rearmed_at.is_not(None),
            # Nothing to put back, as after a restart, or it could not be for as long as anything is kept.
            ~exists().where(_incident.id == _runs.incident_id, ~_incident_over).correlate(schema.runs),
        ),
    )
    .limit(FORGET_MAX)
)
_ids = bindparam("ids", expanding=True)
_FORGET_EVENTS = delete(schema.run_events).where(schema.run_events.c.run_id.in_(_ids))
_FORGET_RUNS = delete(schema.runs).where(_runs.id.in_(_ids))


def forget_some(connection: Connection, before: datetime) -> int:
    """Delete up to ``FORGET_MAX`` rows of each table that are over and older; returns how many it were."""
    parameters = {"before": micros(before)}
    runs = list(connection.scalars(_RUNS_OVER, parameters))
    if runs:
        connection.execute(_FORGET_EVENTS, {"ids": runs})
        connection.execute(_FORGET_RUNS, {"ids": runs})
    return len(runs) + sum(connection.execute(statement, parameters).rowcount for statement in _FORGET)


# -- flags and settings -------------------------------------------------------------------------------------

_new_change = insert(schema.flag_changes)
_SAVE_FLAG_CHANGE = _new_change.on_conflict_do_update(index_elements=["id"], set_={"body": _new_change.excluded.body})
_FLAG_CHANGE_KNOWN = select(func.count()).where(schema.flag_changes.c.id == bindparam("id"))

_new_value = insert(schema.flag_values)
_SET_BY_PERSON = _new_value.on_conflict_do_update(
    index_elements=["flag"], set_={"value": _new_value.excluded.value, "armed": _new_value.excluded.armed}
)
_SET_BY_HEALING = _new_value.on_conflict_do_update(index_elements=["flag"], set_={"value": _new_value.excluded.value})

_new_setting = insert(schema.settings)
PUT_SETTING = _new_setting.on_conflict_do_update(index_elements=["key"], set_={"value": _new_setting.excluded.value})


def record_flag_change(connection: Connection, change: FlagChange) -> None:
    """Audit line, value and armed value. A change that is known already only has its audit line replaced."""
    known = connection.scalar(_FLAG_CHANGE_KNOWN, {"id": change.id})
    connection.execute(
        _SAVE_FLAG_CHANGE,
        {"id": change.id, "flag": change.flag, "time": micros(change.time), "body": change.model_dump_json()},
    )
    if known:
        return
    if change.triggered_by == AUTOMATIC:
        # Where healing is the first to touch a flag, what it finds is what was meant.
        row = {"flag": change.flag, "value": change.new_value, "armed": change.previous_value}
        connection.execute(_SET_BY_HEALING, row)
    else:
        row = {"flag": change.flag, "value": change.new_value, "armed": change.new_value}
        connection.execute(_SET_BY_PERSON, row)


# -- documents and events -----------------------------------------------------------------------------------

_new_document = insert(schema.documents)
PUT_DOCUMENT = _new_document.on_conflict_do_update(
    index_elements=["kind", "id"], set_={"body": _new_document.excluded.body}
)
DELETE_DOCUMENT = delete(schema.documents).where(
    schema.documents.c.kind == bindparam("of_kind"), schema.documents.c.id == bindparam("with_id")
)

_new_event = insert(schema.events)
SAVE_EVENT = _new_event.on_conflict_do_update(
    index_elements=["id"], set_={name: _new_event.excluded[name] for name in ("type", "time", "last_at", "body")}
)


def event_row(event: Event) -> Row:
    """Row of ``events``."""
    over = over_at(event)
    return {
        "id": event.id,
        "type": event.type.value,
        "time": micros(event.time),
        "last_at": None if over is None else micros(over),
        "body": event.model_dump_json(),
    }
