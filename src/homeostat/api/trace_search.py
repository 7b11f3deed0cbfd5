"""The parameters with which traces are searched, shared by the search and by what is computed over many traces."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, Field

from homeostat.core.errors import BadRequestError, NotFoundError
from homeostat.core.models import TraceQuery
from homeostat.core.trace_ids import full_trace_id

# Nanoseconds since 1970 in 64 bits end in 2262; spans cannot lie outside of this.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
ATTRIBUTES_MAX = 16

Milliseconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class TimeRange(BaseModel):
    """``[start, end)``, or so many minutes up to ``end``, which is now where it is not given."""

    start: AwareDatetime | None = Field(default=None, description="With a time zone, e.g. 2026-01-31T12:00:00Z.")
    end: AwareDatetime | None = None
    minutes: int = Field(default=15, ge=1, le=525_600, description="How far back, when there is no start.")

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """Both ends in UTC. Raises BadRequestError for a start after the end, or times that no span can have."""
        until = within("end", self.end) if self.end is not None else now
        since = until - timedelta(minutes=self.minutes) if self.start is None else within("start", self.start)
        if since > until:
            raise BadRequestError(f"start ({since.isoformat()}) lies after end ({until.isoformat()}). Swap them.")
        return max(EARLIEST, since), until


class TraceFilter(TimeRange):
    """Which traces are meant: those with a span that fulfils every condition."""

    service: str | None = Field(default=None, max_length=1000)
    operation: str | None = Field(default=None, max_length=1000)
    min_duration_ms: Milliseconds | None = None
    max_duration_ms: Milliseconds | None = None
    errors_only: bool = False
    attribute: list[str] = Field(
        default=[], max_length=ATTRIBUTES_MAX, description="key=value; may be given several times."
    )
    text: str | None = Field(
        default=None,
        max_length=1000,
        description="Occurs, in any case, in a name, a status message, an attribute or an event.",
    )

    def query(self, now: datetime, *, limit: int, cursor: str | None = None) -> TraceQuery:
        """The search that is asked for. Raises BadRequestError."""
        since, until = self.bounds(now)
        return TraceQuery(
            start=since,
            end=until,
            service=self.service or None,  # an empty field of a form means any
            operation=self.operation or None,
            min_duration_ms=self.min_duration_ms,
            max_duration_ms=self.max_duration_ms,
            errors_only=self.errors_only,
            attributes=dict(pair_of(text) for text in self.attribute),
            text=self.text or None,
            limit=limit,
            cursor=cursor or None,
        )


def trace_id_of(text: str) -> str:
    """A trace id of 32 digits; 16 are filled up with zeros. Raises NotFoundError for what is none."""
    wanted = full_trace_id(text)
    if wanted is None:
        raise NotFoundError(f"{text[:100]!r} is not a trace id. A trace id is 32 (or 16) hexadecimal digits.")
    return wanted


def no_trace(trace_id: str) -> NotFoundError:
    """What to say of a trace that is not stored."""
    return NotFoundError(
        f"There is no trace {trace_id}. It may be older than the retention, not have been kept by sampling, or not "
        "have arrived yet."
    )


def within(name: str, moment: datetime) -> datetime:
    """The moment in UTC. Raises BadRequestError for one at which no span can lie."""
    if not EARLIEST <= moment <= LATEST:
        raise BadRequestError(f"{name} ({moment.isoformat()}) has to lie between 1970 and 2200.")
    return moment.astimezone(UTC)


def pair_of(text: str) -> tuple[str, str]:
    """``key=value`` in two. Raises BadRequestError for what is none."""
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BadRequestError(f"attribute={text[:200]!r} is no condition. Write attribute=key=value.")
    return key, value
