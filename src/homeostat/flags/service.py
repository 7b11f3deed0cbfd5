"""The flag service: present values, what they are meant to be, audited changes, OFREP's answers.

``app`` opens one; the flags driver uses it as ``core.ports.FlagControl``, the API routers use all of it. A change is
durable before it takes effect, takes effect before anybody is told, and being told is in the background.
"""

import hashlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import anyio
import anyio.abc
import httpx2
from pydantic import JsonValue

from homeostat.core.config import DynatraceConfig
from homeostat.core.errors import BadRequestError, NotFoundError, StoreError
from homeostat.core.models import AUTOMATIC, DeploymentEvent, FlagChange
from homeostat.core.ports import Clock, FlagStore, Ids
from homeostat.flags.definitions import FlagDefinition, FlagSet, built_in_flags
from homeostat.flags.evaluation import Context, Evaluation, Evaluator
from homeostat.flags.events import (
    DynatraceTarget,
    EventResult,
    RemediationType,
    deployment_event,
    find_target,
    iso,
    send,
)

logger = logging.getLogger(__name__)

TOPIC = "flags"

PENDING_EVENTS_MAX = 64
"""Events on their way; a further one is not sent, and its audit line says so."""

CLOSING_PATIENCE_S = 2.0
"""How long closing waits for events on their way."""

CHANGES_MAX = 10_000
"""Changes that one question for the audit is answered with."""

_NO_DYNATRACE = DynatraceConfig()
_PENDING = EventResult(success=False, reason="pending")
_INTERRUPTED = "unknown: Homeostat stopped while it was being sent"

Publish = Callable[[str, dict[str, object]], object]
"""``Bus.publish``."""


@dataclass(slots=True)
class _Delivery:
    """An event on its way."""

    result: EventResult = _PENDING
    arrived: anyio.Event = field(default_factory=anyio.Event)


@dataclass(frozen=True, slots=True)
class FlagOutcome:
    """A change that has taken effect, and what becomes of its event."""

    change: FlagChange
    _delivery: _Delivery

    async def event(self, *, within_s: float) -> EventResult:
        """The event's fate, waiting no longer than ``within_s``; ``reason`` is ``pending`` while it is on its way."""
        with anyio.move_on_after(within_s):
            await self._delivery.arrived.wait()
        return self._delivery.result


class FlagService:
    """``FlagControl`` over a set of definitions and the values that were set. Use it within ``opened()``."""

    def __init__(
        self,
        store: FlagStore,
        clock: Clock,
        ids: Ids,
        *,
        definitions: FlagSet | None = None,
        initial: Mapping[str, bool] | None = None,
        dynatrace: DynatraceConfig = _NO_DYNATRACE,
        environ: Mapping[str, str] | None = None,
        publish: Publish | None = None,
    ) -> None:
        """``initial`` values count for flags that were never changed. ``environ`` may hold Dynatrace credentials.

        Raises NotFoundError for an ``initial`` flag that is not defined, ConfigError where targeting rules cannot be
        evaluated.
        """
        self._store = store
        self._clock = clock
        self._ids = ids
        self._definitions = definitions or built_in_flags()
        self._evaluator = Evaluator(self._definitions)
        self._initial = dict(initial or {})
        for flag in self._initial:
            self._switchable(flag)
        self._dynatrace = dynatrace
        self._environ = environ or {}
        self._publish = publish
        self._asked_at: datetime | None = None
        self._overrides: dict[str, bool] = {}
        self._armed: dict[str, bool] = {}
        self._version = ""
        self._bulk: bytes | None = None  # the answer that is the same for everybody
        self._changing = anyio.Lock()
        self._group: anyio.abc.TaskGroup | None = None
        self._client: httpx2.AsyncClient | None = None
        self._on_their_way = 0

    def opened(self) -> AbstractAsyncContextManager["FlagService"]:
        """Read the stored values, and send events, for the length of an ``async with``."""
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator["FlagService", None]:
        known = self._definitions.switchable
        stored, armed = await self._store.flag_values(), await self._store.flag_armed()
        self._overrides = {flag: value for flag, value in {**self._initial, **stored}.items() if flag in known}
        self._armed = {flag: value for flag, value in {**self._initial, **armed}.items() if flag in known}
        latest = await self._store.flag_changes(limit=PENDING_EVENTS_MAX)
        self._renew(latest[0].id if latest else "")
        for change in latest:
            if change.event_detail == _PENDING.detail:
                await self._store.record_flag_change(change.model_copy(update={"event_detail": _INTERRUPTED}))
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                try:
                    yield self
                finally:
                    self._group = None
                    # Leaving the group waits for the events on their way: not for longer than this.
                    group.cancel_scope.deadline = anyio.current_time() + CLOSING_PATIENCE_S
        finally:
            if self._client is not None:
                with anyio.CancelScope(shield=True):
                    await self._client.aclose()

    # -- FlagControl ------------------------------------------------------------------------------------------

    def values(self) -> dict[str, bool]:
        """Present value of every flag that can be switched; where a rule decides, the value without a context."""
        return {key: self._value(key) for key in self._definitions.switchable}

    def armed(self) -> dict[str, bool]:
        """The value that each flag is meant to have: the last one that anybody but healing gave to it."""
        return {key: self._armed_value(key) for key in self._definitions.switchable}

    async def set(
        self, flag: str, value: bool, *, reason: str, triggered_by: str, problem_id: str | None = None
    ) -> FlagChange:
        """Change a flag, audited; its event follows in the background.

        Raises NotFoundError for an unknown flag, BadRequestError for one without a boolean value to switch,
        StoreError where the change cannot be recorded: then nothing has changed.
        """
        outcome = await self.change(flag, value, reason=reason, triggered_by=triggered_by, problem_id=problem_id)
        return outcome.change

    async def changes(self, since: datetime) -> list[FlagChange]:
        """Audited changes at or after ``since``, oldest first; the last 10,000."""
        return (await self._store.flag_changes(limit=CHANGES_MAX, since=since))[::-1]

    # -- for the API ------------------------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """Changes with every change of a value or a definition, also across restarts. Hexadecimal."""
        return self._version

    @property
    def definitions(self) -> Mapping[str, FlagDefinition]:
        """Every definition by its key, in the order of the file."""
        return self._definitions.flags

    def timestamp(self) -> str:
        """The time now, as the original writes it."""
        return iso(self._clock.now())

    async def latest_changes(self, limit: int = 100) -> list[FlagChange]:
        """Audited changes, newest first."""
        return await self._store.flag_changes(limit=limit)

    async def change(
        self,
        flag: str,
        value: bool,
        *,
        reason: str,
        triggered_by: str,
        problem_id: str | None = None,
        kind: RemediationType = RemediationType.TOGGLE,
        environment: str | None = None,
        token: str | None = None,
    ) -> FlagOutcome:
        """As ``set``; ``environment`` and ``token`` name the Dynatrace to tell instead of the configured one."""
        self._switchable(flag)
        target = find_target(self._dynatrace, self._environ, environment=environment, token=token)
        if triggered_by == AUTOMATIC and value == self._armed_value(flag):
            kind = RemediationType.RECOVERY
        delivery = _Delivery()
        if isinstance(target, EventResult):
            delivery.result = target
            delivery.arrived.set()
        async with self._changing:
            change = FlagChange(
                id=self._ids.new("flag"),
                time=self._clock.now(),
                flag=flag,
                previous_value=self._value(flag),
                new_value=value,
                reason=reason,
                triggered_by=triggered_by,
                problem_id=problem_id,
                event_detail=delivery.result.detail,
            )
            event = deployment_event(change, kind)
            change = change.model_copy(update={"event": event})
            # Shielded: a caller that goes away in between must not leave memory behind what is stored.
            with anyio.CancelScope(shield=True):
                await self._store.record_flag_change(change)
                self._apply(change)
        self._tell(change)
        if isinstance(target, DynatraceTarget):
            self._send_later(target, change, event, delivery)
        return FlagOutcome(change, delivery)

    def asked_since(self, since: datetime) -> bool:
        """Has any service asked for flags since then?"""
        return self._asked_at is not None and self._asked_at >= since

    def evaluate(self, flag: str, context: Context) -> Evaluation:
        """The flag for a context, for a service that asks.

        Raises NotFoundError for an unknown flag, ContextError for a bad context.
        """
        self._asked_at = self._clock.now()
        return self._evaluate(flag, context)

    def _evaluate(self, flag: str, context: Context) -> Evaluation:
        """As ``evaluate``, where nobody has asked."""
        definition = self._definitions.flags.get(flag)
        if definition is None:
            raise NotFoundError(f"Flag {flag!r} is not defined.")
        return self._evaluator.evaluate(definition, self._overrides.get(flag), context)

    def evaluate_all(self, context: Context) -> tuple[str, bytes]:
        """Version tag and OFREP's bulk answer as JSON, for a service that asks.

        Cheap where no rule depends on the context. Raises ContextError for a bad context.
        """
        self._asked_at = self._clock.now()
        if self._bulk is not None:
            return self._version, self._bulk
        body = self._bulk_body(context)
        return f"{self._version}-{hashlib.sha256(body).hexdigest()[:16]}", body

    # -- underneath -------------------------------------------------------------------------------------------

    def _switchable(self, flag: str) -> FlagDefinition:
        definition = self._definitions.flags.get(flag)
        if definition is None:
            raise NotFoundError(f"Unknown feature flag: {flag}. Known: {', '.join(self._definitions.switchable)}.")
        if not definition.switchable:
            why = "is DISABLED" if not definition.enabled else f"has {definition.kind} values"
            raise BadRequestError(f"Feature flag {flag} {why} in the definitions: it cannot be switched on or off.")
        return definition

    def _value(self, flag: str) -> bool:
        override = self._overrides.get(flag)
        if override is not None:
            return override
        return self._defined_value(flag)

    def _armed_value(self, flag: str) -> bool:
        meant = self._armed.get(flag)
        return self._defined_value(flag) if meant is None else meant

    def _defined_value(self, flag: str) -> bool:
        found = self._evaluator.evaluate(self._definitions.flags[flag], None, {})
        return found.value is True

    def _apply(self, change: FlagChange) -> None:
        if change.triggered_by == AUTOMATIC:
            self._armed.setdefault(change.flag, change.previous_value)  # as the store does
        else:
            self._armed[change.flag] = change.new_value
        self._overrides[change.flag] = change.new_value
        self._renew(change.id)

    def _renew(self, latest_change: str) -> None:
        seed = [self._definitions.digest, sorted(self._initial.items()), latest_change]
        self._version = hashlib.sha256(json.dumps(seed).encode()).hexdigest()[:16]
        depends = any(
            flag.targeted and flag.enabled and key not in self._overrides for key, flag in self.definitions.items()
        )
        self._bulk = None if depends else self._bulk_body({})

    def _bulk_body(self, context: Context) -> bytes:
        found = [self._evaluate(flag, context) for flag in self.definitions]
        return json.dumps({"flags": [as_ofrep(one) for one in found]}, separators=(",", ":")).encode()

    def _tell(self, change: FlagChange) -> None:
        if self._publish is not None:
            self._publish(TOPIC, change.model_dump(mode="json"))

    def _send_later(
        self, target: DynatraceTarget, change: FlagChange, event: DeploymentEvent, delivery: _Delivery
    ) -> None:
        if self._group is None or self._on_their_way >= PENDING_EVENTS_MAX:
            reason = "closing" if self._group is None else "too_many_pending"
            delivery.result = EventResult(success=False, reason=reason)
            delivery.arrived.set()
            logger.warning("the event of flag change %s is not sent: %s", change.id, reason)
            return
        self._on_their_way += 1
        self._group.start_soon(self._deliver, target, change, event, delivery)

    async def _deliver(
        self, target: DynatraceTarget, change: FlagChange, event: DeploymentEvent, delivery: _Delivery
    ) -> None:
        try:
            if self._client is None:
                self._client = httpx2.AsyncClient(follow_redirects=False)
            delivery.result = await send(self._client, target, event)
        finally:
            self._on_their_way -= 1
            delivery.arrived.set()
        told = change.model_copy(
            update={"event_sent": delivery.result.success, "event_detail": delivery.result.detail}
        )
        try:
            await self._store.record_flag_change(told)
        except StoreError as error:
            logger.warning("the fate of the event of flag change %s is not recorded: %s", change.id, error)
        self._tell(told)


def as_ofrep(found: Evaluation) -> dict[str, JsonValue]:
    """An evaluation as OFREP 0.3.0 writes it. A flag without a value leaves it to the code: ``value`` is absent."""
    if found.error_code is not None:
        return {"key": found.key, "errorCode": found.error_code, "errorDetails": found.error_details}
    answer: dict[str, JsonValue] = {"key": found.key, "reason": found.reason, "variant": found.variant}
    if found.decided:
        answer["value"] = found.value
    if found.metadata:
        answer["metadata"] = dict(found.metadata)
    return answer
