"""The shape of ``homeostat.yaml``. Reading the file, with line numbers in its errors, is ``homeostat.config``."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from homeostat.core.log_patterns import LogsConfig
from homeostat.core.models import PolicyMode
from homeostat.core.sampling import SamplingConfig
from homeostat.core.settings import Duration, Section


class ServerConfig(Section):
    """Where people and scripts reach Homeostat."""

    host: str = "127.0.0.1"
    port: int = Field(default=4000, ge=0, le=65535)  # 0: any free port
    jaeger_query_port: int | None = Field(default=16686, ge=0, le=65535)  # Jaeger's query interface; null: off
    prometheus_port: int | None = Field(default=8889, ge=0, le=65535)  # metrics for a Prometheus to scrape; null: off
    allowed_hosts: tuple[str, ...] = ()  # further names people reach it under, e.g. a reverse proxy's


class ReceiverConfig(Section):
    """Where telemetry comes in. Port 0 means any free port, null means off."""

    host: str = "127.0.0.1"
    otlp_grpc_port: int | None = Field(default=4317, ge=0, le=65535)
    otlp_http_port: int | None = Field(default=4318, ge=0, le=65535)
    jaeger_grpc_port: int | None = Field(default=14250, ge=0, le=65535)
    jaeger_http_port: int | None = Field(default=14268, ge=0, le=65535)  # Thrift over HTTP
    jaeger_udp_compact_port: int | None = Field(default=6831, ge=0, le=65535)
    jaeger_udp_binary_port: int | None = Field(default=6832, ge=0, le=65535)
    zipkin_port: int | None = Field(default=9411, ge=0, le=65535)
    max_request_mib: int = Field(default=16, ge=1, le=1024)

    @classmethod
    def only(cls, **given: object) -> "ReceiverConfig":
        """Every port off but those that are given."""
        off = {name: None for name in cls.model_fields if name.endswith("_port")}
        return cls.model_validate(off | given)


class ScrapeTarget(Section):
    """Something that shows its metrics to Prometheus."""

    job: str = Field(min_length=1)
    url: str  # e.g. http://127.0.0.1:9100/metrics
    interval: Duration = timedelta(seconds=15)
    timeout: Duration = timedelta(seconds=10)
    labels: dict[str, str] = Field(default_factory=dict)
    service: str | None = None  # the service.name of its metrics; default: the job

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("write an address such as http://127.0.0.1:9100/metrics")
        return url


class MetricsConfig(Section):
    """Metrics that Homeostat fetches itself."""

    scrape: tuple[ScrapeTarget, ...] = ()


class SloConfig(Section):
    """Service level objectives: OpenSLO files beside those made over the API."""

    files: tuple[Path, ...] = ()  # files, or directories of *.yaml
    defaults: bool = True  # the five built-in ones
    interval: Duration = timedelta(seconds=10)  # how often they are evaluated


class TracingAlertsConfig(Section):
    """The three alerts on tracing: failing requests, slow requests, no traces at all."""

    enabled: bool = True
    errors_per_s: float = Field(default=10.0, gt=0)  # of one service; critical
    p95_ms: float = Field(default=2000.0, gt=0)  # of one service; warning
    hold: Duration = timedelta(minutes=5)  # so long each must hold; no traces for so long is critical


class AnomalyConfig(Section):
    """The correlation rule: slow traces are an anomaly, failing requests an alert, both together an incident."""

    enabled: bool = True
    slow_trace_ms: float = Field(default=1000.0, gt=0)
    error_rate_percent: float = Field(default=5.0, gt=0, lt=100)
    min_requests: int = Field(default=20, ge=1)  # within the window, to speak of an error rate
    window: Duration = timedelta(minutes=1)


class AlertingConfig(Section):
    """Where alerts go, and whose silences are maintenance windows."""

    alertmanager_url: str | None = None  # e.g. http://127.0.0.1:9093
    interval: Duration = timedelta(seconds=15)  # alerts are sent again while they last; silences are read
    tracing: TracingAlertsConfig = TracingAlertsConfig()
    anomalies: AnomalyConfig = AnomalyConfig()


def _port_is_a_number(address: SplitResult) -> bool:
    try:
        return address.port is None or address.port > 0
    except ValueError:
        return False


class ClickHouseConfig(Section):
    """A ClickHouse server with the tables of the OpenTelemetry Collector's exporter."""

    url: str  # e.g. http://127.0.0.1:8123
    database: str = "otel"
    user: str = "default"
    password: str | None = Field(default=None, repr=False)  # or CLICKHOUSE_PASSWORD in the environment

    @field_validator("url")
    @classmethod
    def _is_an_address_alone(cls, url: str) -> str:
        """Errors name the address, so nothing secret may be in it; what is not used must not look as if it were."""
        parts = urlsplit(url)
        if "@" in url:
            raise ValueError(
                "who asks is not part of storage.clickhouse.url: write storage.clickhouse.user, and the password as "
                "storage.clickhouse.password or in the environment as CLICKHOUSE_PASSWORD"
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname or not _port_is_a_number(parts):
            raise ValueError("storage.clickhouse.url is no address: write e.g. http://127.0.0.1:8123")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError(
                "storage.clickhouse.url takes neither a path nor a query: write scheme, host and port, and the "
                "database as storage.clickhouse.database"
            )
        return url


class StorageConfig(Section):
    """Where state and telemetry are kept, and for how long."""

    path: Path = Path("homeostat-data")
    retention: Duration = timedelta(days=30)
    max_gib: float = Field(default=20.0, gt=0)  # of telemetry; the oldest segments go first
    min_free_mib: int = Field(default=64, ge=1)  # below this nothing is acknowledged any more
    clickhouse: ClickHouseConfig | None = None  # telemetry is kept there, beside others' (the extra clickhouse)


class ErrorRateConfig(Section):
    """When errors are an issue: the lower confidence bound of the rate is above the threshold."""

    threshold_percent: float = Field(default=5.0, gt=0, lt=100)
    min_requests: int = Field(default=20, ge=1)
    confidence: float = Field(default=0.995, gt=0.5, lt=1)  # one-sided
    close_percent: float = Field(default=2.5, ge=0, lt=100)  # hysteresis: closed only below this


class LatencyConfig(Section):
    """When slowness is an issue: the 95th percentile is above both the threshold and ``ratio`` x its baseline."""

    threshold_ms: float = Field(default=500.0, gt=0)
    ratio: float = Field(default=3.0, gt=1)
    min_requests: int = Field(default=20, ge=1)
    close_ratio: float = Field(default=2.0, gt=1)  # hysteresis


class DetectConfig(Section):
    """What counts as trouble."""

    interval: Duration = timedelta(milliseconds=500)  # how often the loop looks
    close_after: Duration = timedelta(seconds=5)  # a signal must be good for this long before its issue closes
    error_rate: ErrorRateConfig = ErrorRateConfig()
    latency: LatencyConfig = LatencyConfig()


class RestartConfig(Section):
    """How a process is started again: a command, or a POST to a supervisor's URL."""

    command: tuple[str, ...] | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "RestartConfig":
        if (self.command is None) == (self.url is None):
            raise ValueError("give either a command or a url")
        return self


class ProcessConfig(Section):
    """A process that may be watched and, where the policy allows it, restarted."""

    name: str = Field(min_length=1)
    pid_file: Path
    service: str | None = None  # the service.name it sends telemetry under; default: its name
    restart: RestartConfig | None = None

    @property
    def service_name(self) -> str:
        """The ``service.name`` of its telemetry."""
        return self.service or self.name


class PostgresWatch(Section):
    """A PostgreSQL server whose figures and slow statements are read (the extra ``postgres``)."""

    dsn: str = Field(min_length=1)  # e.g. postgresql://homeostat@127.0.0.1/shop; a role with pg_monitor
    service: str = Field(default="postgresql", min_length=1)
    interval: Duration = timedelta(seconds=10)
    slow_statement: Duration = timedelta(seconds=1)  # statements that run longer become spans
    top_statements: int = Field(default=50, ge=0, le=1000)  # of pg_stat_statements, by time in all


class RedisWatch(Section):
    """A Redis server whose figures and slow log are read (the extra ``redis``)."""

    url: str = Field(pattern=r"^(redis|rediss|unix)://")  # e.g. redis://127.0.0.1:6379
    service: str = Field(default="redis", min_length=1)
    interval: Duration = timedelta(seconds=10)


class NginxWatch(Section):
    """An nginx whose access log, in the format of ``homeostat instrument nginx``, becomes server spans."""

    access_log: Path
    service: str = Field(default="nginx", min_length=1)


class WatchConfig(Section):
    """What is watched beside telemetry."""

    processes: tuple[ProcessConfig, ...] = ()
    postgres: tuple[PostgresWatch, ...] = ()
    redis: tuple[RedisWatch, ...] = ()
    nginx: tuple[NginxWatch, ...] = ()


class PolicyRule(Section):
    """The first rule that matches an action and a resource decides. ``*`` matches anything."""

    action: str = "*"
    resource: str = "*"
    mode: PolicyMode


class LimitConfig(Section):
    """How much healing is too much."""

    per_resource_per_hour: int = Field(default=10, ge=0)
    per_hour: int = Field(default=100, ge=0)
    breaker_failure_percent: float = Field(default=30.0, gt=0, le=100)
    breaker_min_runs: int = Field(default=5, ge=1)


class RecoveryConfig(Section):
    """Putting back what healing had changed (a flag that was turned off), once all is well."""

    enabled: bool = True
    hold_off: Duration = timedelta(minutes=5)
    backoff: float = Field(default=2.0, ge=1)  # each relapse soon after a recovery multiplies the hold-off


class HealConfig(Section):
    """Who and what may act. The default watches and tells; nothing is touched."""

    mode: PolicyMode = PolicyMode.OBSERVE
    rules: tuple[PolicyRule, ...] = ()
    limits: LimitConfig = LimitConfig()
    recovery: RecoveryConfig = RecoveryConfig()
    max_candidates: int = Field(default=3, ge=1)  # then a person is asked


class FlagsConfig(Section):
    """Feature flags: a flagd definitions file to start from; None means the five built-in ones."""

    file: Path | None = None
    initial: dict[str, bool] = Field(default_factory=dict)  # values for flags that were never changed yet


class DynatraceConfig(Section):
    """Where deployment events are sent as well. Both may come from the environment instead."""

    environment: str | None = None
    token: str | None = None


class Config(Section):
    """All of ``homeostat.yaml``."""

    server: ServerConfig = ServerConfig()
    receivers: ReceiverConfig = ReceiverConfig()
    storage: StorageConfig = StorageConfig()
    detect: DetectConfig = DetectConfig()
    watch: WatchConfig = WatchConfig()
    heal: HealConfig = HealConfig()
    flags: FlagsConfig = FlagsConfig()
    dynatrace: DynatraceConfig = DynatraceConfig()
    metrics: MetricsConfig = MetricsConfig()
    logs: LogsConfig = LogsConfig()
    sampling: SamplingConfig = SamplingConfig()
    slo: SloConfig = SloConfig()
    alerting: AlertingConfig = AlertingConfig()
    world_url: str | None = (
        None  # set by ``homeostat demo``: the world's own API, proxied under /api/journey-simulation
    )
