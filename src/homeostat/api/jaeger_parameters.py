"""What Jaeger's query interface is asked with: times in microseconds, durations as Go writes them, tags as JSON.

Raises BadRequestError with the words of Jaeger's own parser where its clients show them to people.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from starlette.datastructures import QueryParams

from homeostat.core.errors import BadRequestError
from homeostat.core.models import Span, TraceQuery

DEFAULT_LIMIT: Final = 100
LIMIT_MAX: Final = 1000
TAGS_MAX: Final = 16
LOOKBACK: Final = timedelta(days=2)  # of a search without a start, as in Jaeger
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_ID_DIGITS: Final = 32
_TEXT_MAX: Final = 1000

_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_MS: Final = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}

Condition = Callable[[Span], bool]


@dataclass(frozen=True, slots=True)
class Search:
    """A search, and what the store cannot search for: ``conditions`` hold on the span that matches the rest."""

    query: TraceQuery
    limit: int
    conditions: tuple[Condition, ...]


def trace_id_of(text: str) -> str:
    """A trace id of up to 32 hexadecimal digits, filled up with zeros."""
    if len(text) > _ID_DIGITS:
        raise BadRequestError(f"TraceID cannot be longer than {_ID_DIGITS} hex characters: {text[:100]}")
    if not text or not set(text.lower()) <= set("0123456789abcdef"):
        raise BadRequestError(f"TraceID has to be up to {_ID_DIGITS} hex characters, and is {text!r}")
    return text.lower().zfill(_ID_DIGITS)


def search_of(given: QueryParams, now: datetime) -> Search:
    """The search that ``/api/traces`` asks for."""
    service = given.get("service", "")
    if not service:
        raise BadRequestError("parameter 'service' is required")
    shortest, longest = _duration_ms(given, "minDuration"), _duration_ms(given, "maxDuration")
    if shortest and longest and longest < shortest:
        raise BadRequestError("'maxDuration' should be greater than 'minDuration'")
    start, end = _micros(given, "start", now - LOOKBACK), _micros(given, "end", now)
    limit = min(max(1, _integer(given, "limit", DEFAULT_LIMIT)), LIMIT_MAX)
    attributes, conditions, errors_only = _split(_tags(given))
    query = TraceQuery(
        start=min(start, end),
        end=end,
        service=service[:_TEXT_MAX],
        operation=given.get("operation") or None,
        min_duration_ms=shortest,
        max_duration_ms=longest or None,
        errors_only=errors_only,
        attributes=attributes,
        limit=limit,
    )
    return Search(query, limit, conditions)


def window_of(given: QueryParams, now: datetime) -> tuple[int, int]:
    """``[start, end)`` of ``/api/dependencies`` in Unix seconds, from ``endTs`` and ``lookback`` in milliseconds."""
    end_ms = _integer(given, "endTs", round(now.timestamp() * 1000))
    lookback_ms = _integer(given, "lookback", 86_400_000)
    if not 0 <= end_ms <= _LATEST.timestamp() * 1000 or lookback_ms < 0:
        raise BadRequestError("unable to parse param 'endTs': it has to be milliseconds since 1970")
    return max(0, end_ms - lookback_ms) // 1000, -(-end_ms // 1000)


def _integer(given: QueryParams, name: str, otherwise: int) -> int:
    text = given.get(name, "")
    if not text:
        return otherwise
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadRequestError(f"unable to parse param '{name}': parsing {json.dumps(text[:100])}: invalid syntax")
    return int(text)


def _micros(given: QueryParams, name: str, otherwise: datetime) -> datetime:
    micros = _integer(given, name, -1)
    if micros < 0:
        return otherwise if not given.get(name) else _EPOCH
    if micros > (_LATEST - _EPOCH) // timedelta(microseconds=1):
        return _LATEST
    return _EPOCH + timedelta(microseconds=micros)


def _duration_ms(given: QueryParams, name: str) -> float | None:
    """A duration as Go's ``time.ParseDuration`` reads it: ``1.5s``, ``100ms``, ``1h30m``."""
    text = given.get(name, "")
    if not text:
        return None
    parts = cast("list[tuple[str, str]]", _PART.findall(text))
    if text == "0":
        return 0.0
    if "".join(number + unit for number, unit in parts) != text:
        raise BadRequestError(f"unable to parse param '{name}': time: invalid duration {json.dumps(text[:100])}")
    total = sum(float(number) * _UNIT_MS[unit] for number, unit in parts)
    if total > 1e12:
        raise BadRequestError(f"unable to parse param '{name}': time: invalid duration {json.dumps(text[:100])}")
    return total


def _tags(given: QueryParams) -> dict[str, str]:
    tags: dict[str, str] = {}
    for text in given.getlist("tag"):
        key, colon, value = text.partition(":")
        if not colon:
            raise BadRequestError(f"malformed 'tag' parameter, expecting key:value, received: {text[:200]}")
        tags[key] = value
    for text in given.getlist("tags"):
        tags |= _tags_of_json(text)
    if len(tags) > TAGS_MAX:
        raise BadRequestError(f"{len(tags)} tags are too many; give up to {TAGS_MAX}")
    return tags


def _tags_of_json(text: str) -> dict[str, str]:
    try:
        found: object = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"malformed 'tags' parameter, cannot unmarshal JSON: {error}") from error
    pairs = cast("dict[str, object]", found) if isinstance(found, dict) else None
    if pairs is None or not all(isinstance(value, str) for value in pairs.values()):
        raise BadRequestError("malformed 'tags' parameter, cannot unmarshal JSON: an object of strings is expected")
    return cast("dict[str, str]", pairs)


def _split(tags: dict[str, str]) -> tuple[dict[str, str], tuple[Condition, ...], bool]:
    """Attributes to search for; conditions on what is a field of a span and no attribute; whether errors only."""
    attributes: dict[str, str] = {}
    conditions: list[Condition] = []
    errors_only = False
    for key, value in tags.items():
        if (key, value) in {("error", "true"), ("otel.status_code", "ERROR")}:
            errors_only = True
        elif (condition := _condition(key, value)) is not None:
            conditions.append(condition)
        else:
            attributes[key] = value
    return attributes, tuple(conditions), errors_only


def _condition(key: str, value: str) -> Condition | None:
    match key:
        case "span.kind":
            return lambda span: span.kind == value
        case "error" if value == "false":
            return lambda span: span.status != "error"
        case "otel.status_code":
            return lambda span: span.status.upper() == value
        case "otel.status_description":
            return lambda span: span.status_message == value
        case "otel.scope.name" | "otel.library.name":
            return lambda span: span.scope == value
        case _:
            return None
