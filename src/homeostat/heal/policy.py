"""What may be done without asking, by whom, and how often. Asked by ``treatment`` before each act.

The order: the first matching rule gives the mode (else the default); a high risk is never taken without a person;
during maintenance nothing is done or asked for, only shown; then the breaker and the limits, both counted from the
journal, so that a restart does not reset them.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict

from homeostat.core.config import HealConfig, LimitConfig, PolicyRule
from homeostat.core.events import MaintenanceWindow
from homeostat.core.models import ActionSpec, Model, PlanStep, PolicyMode, Risk, Run
from homeostat.core.ports import SettingStore
from homeostat.heal.breaker import BreakerState, breaker_state
from homeostat.heal.ledger import Ledger

SETTING = "heal.auto"
"""Setting that holds what the toggle was last set to: ``true`` or ``false``. Absent: the configuration decides."""

HOUR = timedelta(hours=1)

Maintenance = Callable[[str, datetime], MaintenanceWindow | None]
"""The window in which a resource (``kind:name``) is at a time; None: in none."""

_LADDER = (PolicyMode.OBSERVE, PolicyMode.SUGGEST, PolicyMode.APPROVE, PolicyMode.AUTO)


class PolicyDecision(Model):
    """``allowed`` False: not now, whatever the mode; ``reason`` says why the mode is what it is, or what forbids."""

    mode: PolicyMode
    allowed: bool
    reason: str
    maintenance: MaintenanceWindow | None = None  # that holds the mode down for now


class BreakerView(Model):
    """For people."""

    open: bool
    reason: str


class UsedView(Model):
    """Remediations begun within the last hour."""

    last_hour: int


class PolicyView(BaseModel):
    """The policy in force, for the API."""

    model_config = ConfigDict(frozen=True)

    mode: PolicyMode
    rules: tuple[PolicyRule, ...]
    limits: LimitConfig
    breaker: BreakerView
    used: UsedView


class Policy:
    """The configured policy with the toggle that people may set at run time."""

    def __init__(
        self, config: HealConfig, ledger: Ledger, settings: SettingStore, maintenance: Maintenance | None = None
    ) -> None:
        self._maintenance = maintenance or (lambda _resource, _now: None)
        self._config = config
        self._ledger = ledger
        self._settings = settings
        self._auto: bool | None = None

    async def load(self) -> None:
        """Read the toggle as it was last set."""
        stored = await self._settings.get_setting(SETTING)
        self._auto = None if stored is None else stored == "true"

    async def set_auto(self, enabled: bool) -> None:
        """Allow or forbid acting without asking, durably. Rules that name a resource still bind when allowed."""
        await self._settings.put_setting(SETTING, "true" if enabled else "false")
        self._auto = enabled

    @property
    def mode(self) -> PolicyMode:
        """The mode for what no rule names."""
        if self._auto is None:
            return self._config.mode
        return PolicyMode.AUTO if self._auto else _at_most(self._config.mode, PolicyMode.APPROVE)

    def mode_for(
        self, step: PlanStep, spec: ActionSpec, now: datetime, resources: Sequence[str] = ()
    ) -> PolicyDecision:
        """How far a step may go by itself, before limits are looked at. ``resources``: whose trouble it answers."""
        mode, reason = self.mode, f"the default mode is {self.mode}"
        for rule in self._config.rules:
            if fnmatchcase(step.action, rule.action) and fnmatchcase(step.resource, rule.resource):
                mode, reason = rule.mode, f"the rule for {rule.action} on {rule.resource} says {rule.mode}"
                break
        if self._auto is False and mode is PolicyMode.AUTO:
            mode, reason = PolicyMode.APPROVE, "automatic healing is switched off"
        if spec.risk is Risk.HIGH and mode is PolicyMode.AUTO:
            mode, reason = PolicyMode.APPROVE, "its risk is high, so a person has to say yes"
        window = self._window(step, resources, now)
        if window is None:
            return PolicyDecision(mode=mode, allowed=True, reason=reason)
        mode, reason = _at_most(mode, PolicyMode.SUGGEST), in_maintenance(window)
        return PolicyDecision(mode=mode, allowed=True, reason=reason, maintenance=window)

    async def decide(
        self, step: PlanStep, spec: ActionSpec, now: datetime, resources: Sequence[str] = ()
    ) -> PolicyDecision:
        """May this step run now, by itself?"""
        decision = self.mode_for(step, spec, now, resources)
        if decision.maintenance is not None:
            return decision.model_copy(update={"allowed": False})
        forbidden = self._forbidden(step, await self._ledger.recent(), now)
        if forbidden is None:
            return decision
        return PolicyDecision(mode=decision.mode, allowed=False, reason=forbidden)

    def _window(self, step: PlanStep, resources: Sequence[str], now: datetime) -> MaintenanceWindow | None:
        found = (self._maintenance(resource, now) for resource in (step.resource, *resources))
        return next((window for window in found if window is not None), None)

    async def within_limits(self, step: PlanStep, now: datetime) -> str | None:
        """Why a person may not have this either; None when they may. The breaker stops machines, not people."""
        return self._over_limit(step, await self._ledger.recent(), now)

    async def view(self, now: datetime) -> PolicyView:
        """The policy in force."""
        runs = await self._ledger.recent()
        breaker = breaker_state(runs, now, self._config.limits)
        return PolicyView(
            mode=self.mode,
            rules=self._config.rules,
            limits=self._config.limits,
            breaker=BreakerView(open=breaker.open or breaker.half_open, reason=breaker.reason),
            used=UsedView(last_hour=len(_begun(runs, now))),
        )

    def _forbidden(self, step: PlanStep, runs: list[Run], now: datetime) -> str | None:
        breaker: BreakerState = breaker_state(runs, now, self._config.limits)
        if breaker.open:
            return f"the breaker is open: {breaker.reason}"
        return self._over_limit(step, runs, now)

    def _over_limit(self, step: PlanStep, runs: list[Run], now: datetime) -> str | None:
        limits, begun = self._config.limits, _begun(runs, now)
        here = sum(run.step.resource == step.resource for run in begun)
        if here >= limits.per_resource_per_hour:
            return f"{step.resource} has had {here} remediations within an hour, and the limit is that"
        if len(begun) >= limits.per_hour:
            return f"there were {len(begun)} remediations within an hour, and the limit is that"
        return None


def _begun(runs: list[Run], now: datetime) -> list[Run]:
    return [run for run in runs if run.intent_at is not None and run.intent_at > now - HOUR and not run.dry_run]


def _at_most(mode: PolicyMode, ceiling: PolicyMode) -> PolicyMode:
    return min(mode, ceiling, key=_LADDER.index)


def in_maintenance(window: MaintenanceWindow) -> str:
    """Why nothing is done by itself now."""
    return f"maintenance until {window.end:%Y-%m-%d %H:%M} UTC ({window.reason}, {window.created_by})"
