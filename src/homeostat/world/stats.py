"""The control API's answers as models: made by ``control`` and ``ledger``, read by ``client`` and rehearsals."""

from homeostat.core.models import Model


class SlowState(Model):
    """A slowness at work: stopped for ``stop_ms``, running for ``run_ms``, in turns, under a lease."""

    stop_ms: int
    run_ms: int
    lease_s: float
    remaining_s: float


class ServiceState(Model):
    """One service of the world. ``pid`` is None while it is dead, ``last_pid`` what it was."""

    name: str
    state: str  # running | slowed | dead | starting
    pid: int | None
    last_pid: int | None
    port: int
    uptime_s: float | None
    rss_mb: float | None
    restarts: int
    pid_file: str
    slow: SlowState | None


class WorldState(Model):
    """All of it."""

    pid: int
    seed: int
    run_dir: str
    uptime_s: float
    error_scope: str
    services: tuple[ServiceState, ...]


class CustomerStats(Model):
    """Journeys that ended; money in units of the currency. ``error_rate`` None: no journeys."""

    journeys: int
    errors: int
    error_rate: float | None
    revenue: float
    revenue_lost: float


class RecentStats(Model):
    """Rates over the last ten complete seconds."""

    journeys_per_s: float
    errors_per_s: float
    error_rate: float | None


class SecondStats(Model):
    """What ended in one second (Unix). ``duration_max_ms`` is the longest journey among them."""

    second_unix: int
    journeys: int
    errors: int
    revenue: float
    revenue_lost: float
    duration_max_ms: float


class WorldStats(CustomerStats):
    """Counted from the start of the world; ``seconds`` has those of the last ten minutes in which a journey ended."""

    seed: int
    started_unix: float
    now_unix: float
    currency: str
    total: int
    success_rate: float | None
    in_flight: int
    dropped: int
    timeouts: int
    last_10_s: RecentStats
    customers: dict[str, CustomerStats]
    by_journey: dict[str, CustomerStats]
    seconds: tuple[SecondStats, ...]
