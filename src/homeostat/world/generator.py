"""The continuous journeys: every interval a batch of customers sets off side by side, chosen by the seed.

The n-th journey of a seed is always the same customer, the same amount and the same injected errors, however fast
the machine is. When services hang, at most ``concurrency_max`` customers wait: further ones are dropped and counted.
"""

import logging
from dataclasses import dataclass

import anyio
from anyio.abc import TaskGroup

from homeostat.core.errors import HomeostatError
from homeostat.core.ports import Clock
from homeostat.world.chance import index, share
from homeostat.world.config import GeneratorConfig
from homeostat.world.journeys import TEMPLATES, JourneyTemplate
from homeostat.world.ledger import Ledger
from homeostat.world.runner import JourneyOrder, JourneyRunner, PlannedStep

log = logging.getLogger(__name__)
journey_log = logging.getLogger("homeostat.world.journeys")
"""The two lines of the contract, and nothing else."""


@dataclass(frozen=True, slots=True)
class Company:
    """One customer of the continuous journeys, as the status page shows it."""

    name: str
    journey: str
    active: bool
    rate_per_minute: float  # as configured


class Generator:
    """Runs until cancelled. ``update`` takes effect with the next batch."""

    def __init__(
        self, config: GeneratorConfig, seed: int, runner: JourneyRunner, ledger: Ledger, clock: Clock
    ) -> None:
        self._config = config
        self._seed = seed
        self._runner = runner
        self._ledger = ledger
        self._clock = clock
        self._stopped: set[str] = set()
        self._number = 0
        self._in_flight = 0
        self._completed = 0
        self._errors = 0
        self._changed = anyio.Event()

    @property
    def config(self) -> GeneratorConfig:
        """As it is now."""
        return self._config

    def update(self, config: GeneratorConfig) -> None:
        """New settings; enabling it also lets stopped customers come back."""
        if config.enabled and not self._config.enabled:
            self._stopped.clear()
        self._config = config
        self._changed.set()

    def companies(self) -> list[Company]:
        """Every customer that may be generated."""
        config, choices = self._config, self._choices()
        per_minute = 60_000.0 / config.interval_ms * config.batch_size
        active = {customer for _, customer in choices} if config.enabled else set[str]()
        return [
            Company(
                customer, template.name, customer in active, per_minute / len(choices) if customer in active else 0.0
            )
            for template, customer in self._all_choices()
        ]

    def stop_company(self, name: str) -> bool:
        """No more journeys of this customer. False when there were none."""
        found = next(
            (entry for entry in self.companies() if entry.active and entry.name.lower() == name.lower()), None
        )
        if found is None:
            return False
        self._stopped.add(found.name)
        return True

    def stop_all(self) -> int:
        """No more journeys; returns how many customers were active."""
        active = [entry.name for entry in self.companies() if entry.active]
        self._stopped.update(active)
        self.update(self._config.model_copy(update={"enabled": False}))
        return len(active)

    async def run(self) -> None:
        """First batch at once, then one per interval."""
        async with anyio.create_task_group() as tasks:
            while True:
                began = self._clock.monotonic()
                self._changed = anyio.Event()
                config = self._config
                if config.enabled:
                    self._batch(tasks, config)
                spent = self._clock.monotonic() - began
                with anyio.move_on_after(max(0.0, config.interval_ms / 1000.0 - spent)):
                    await self._changed.wait()

    def _batch(self, tasks: TaskGroup, config: GeneratorConfig) -> None:
        choices = self._choices()
        if not choices:
            return
        for _ in range(config.batch_size):
            self._number += 1
            if self._in_flight >= config.concurrency_max:
                self._ledger.dropped += 1
                continue
            self._in_flight += 1
            tasks.start_soon(self._one, self._number, choices[index(self._seed, len(choices), "who", self._number)])
        self._log_statistics()

    async def _one(self, number: int, choice: tuple[JourneyTemplate, str]) -> None:
        template, customer = choice
        try:
            outcome = await self._runner.run(self._order(number, template, customer))
        except HomeostatError as error:
            self._errors += 1
            log.warning("A journey could not be made: %s", error)
            return
        finally:
            self._completed += 1
            self._in_flight -= 1
        if outcome.completed:
            journey_log.info("[%d] Journey completed: %s - %s", self._completed, customer, template.name)
        else:
            self._errors += 1
            journey_log.info(
                "[%d] Journey failed: %s - %s: %s", self._completed, customer, template.name, outcome.error
            )

    def _order(self, number: int, template: JourneyTemplate, customer: str) -> JourneyOrder:
        key = str(number)
        token = format(int(share(self._seed, "id", number) * (1 << 40)), "010x")
        journey_id = f"continuous_{int(self._clock.now().timestamp() * 1000)}_{token}"
        return JourneyOrder(
            journey_id=journey_id,
            chance_key=key,
            name=template.name,
            customer_id=customer.lower().replace(" ", "_"),
            customer=customer,
            company=customer,
            correlation_id=journey_id,
            steps=tuple(PlannedStep(step) for step in template.steps),
            amount_cents=template.amounts.cents(self._seed, key),
            think_time_ms=self._config.think_time_ms,
            timeout_ms=self._config.timeout_ms,
        )

    def _log_statistics(self) -> None:
        total, errors = self._completed, self._errors
        if total:
            rate = 100.0 * (total - errors) / total
            journey_log.info("Stats - Total: %d, Errors: %d, Success Rate: %.1f%%", total, errors, rate)

    def _all_choices(self) -> list[tuple[JourneyTemplate, str]]:
        wanted = {name.lower() for name in self._config.customers}
        return [
            (template, customer)
            for template in TEMPLATES
            for customer in template.customers
            if not wanted or customer.lower() in wanted
        ]

    def _choices(self) -> list[tuple[JourneyTemplate, str]]:
        return [choice for choice in self._all_choices() if choice[1] not in self._stopped]
