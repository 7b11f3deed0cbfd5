import { useEffect, useMemo, useState } from "react";
import { Link } from "react-router";

import { useRecentRed } from "../../api/queries";
import type { ServiceHealth, ServiceStatus } from "../../api/types";
import { Sparkline } from "../../charts/Sparkline";
import { duration, percent, rate } from "../../lib/format";
import { serviceMarks } from "../../lib/status";
import { useLiveSeconds } from "../../live/store";
import { Card } from "../../ui/Card";
import { Empty } from "../../ui/States";
import { ServiceName } from "../../ui/ServiceName";
import { Status } from "../../ui/Status";
import { Value } from "../../ui/Value";

const ORDER: Record<ServiceStatus, number> = { down: 0, degraded: 1, healthy: 2, unknown: 3 };
const SEEDED_MAX = 24;
const SEED_AFTER_MS = 600;
const SPARK_POINTS = 60;

interface Past {
  time: number;
  rate: number | null;
}

/** The last two minutes in steps of two seconds: what the server had, continued by what arrives live. */
function RateLine({ service, past }: { service: string; past: readonly Past[] }) {
  const live = useLiveSeconds(service);
  const values = useMemo(() => {
    const steps = new Map<number, { sum: number; seconds: number }>();
    for (const second of live) {
      const step = Math.floor(second.time / 2) * 2;
      const old = steps.get(step) ?? { sum: 0, seconds: 0 };
      steps.set(step, { sum: old.sum + second.requests, seconds: old.seconds + 1 });
    }
    const all = new Map<number, number | null>(past.map((point) => [point.time, point.rate]));
    for (const [time, step] of steps) all.set(time, step.sum / step.seconds);
    return [...all.entries()]
      .sort(([a], [b]) => a - b)
      .slice(-SPARK_POINTS)
      .map(([, value]) => value);
  }, [live, past]);
  return <Sparkline values={values} color="--series-1" />;
}

const NO_PAST: readonly Past[] = [];

/** False at first: what the page says comes before what decorates it. */
function useLater(): boolean {
  const [later, setLater] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLater(true), SEED_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return later;
}

function usePast(names: string[]): ReadonlyMap<string, readonly Past[]> {
  const later = useLater();
  const results = useRecentRed(later ? names.slice(0, SEEDED_MAX) : []);
  const loaded = results.filter((result) => result.data !== undefined).length;
  return useMemo(
    () =>
      new Map(
        results.flatMap((result) =>
          result.data?.service == null
            ? []
            : [
                [
                  result.data.service,
                  result.data.points.map((point) => ({
                    time: Math.floor(Date.parse(point.time) / 1_000),
                    rate: point.request_rate,
                  })),
                ] as const,
              ],
        ),
      ),
    // The results are a new array at every render; what matters is how many have arrived.
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [loaded],
  );
}

function Row({ health, past }: { health: ServiceHealth; past: readonly Past[] }) {
  return (
    <tr>
      <th scope="row">
        <Link to={`/traces?service=${encodeURIComponent(health.service)}`}><ServiceName name={health.service} /></Link>
      </th>
      <td>
        <Status mark={serviceMarks[health.status]} />
      </td>
      <td className="num">
        <Value of={health.request_rate} as={rate} />
      </td>
      <td className="num" data-tone={health.error_rate !== null && health.error_rate > 0.05 ? "bad" : undefined}>
        <Value of={health.error_rate} as={percent} />
      </td>
      <td className="num wide-only">
        <Value of={health.latency_p50_ms} as={duration} />
      </td>
      <td className="num">
        <Value of={health.latency_p95_ms} as={duration} />
      </td>
      <td className="spark wide-only">
        <RateLine service={health.service} past={past} />
      </td>
    </tr>
  );
}

/** Every service that was ever seen, the troubled ones first. */
export function Services({ services }: { services: ServiceHealth[] }) {
  const sorted = useMemo(
    () => services.toSorted((a, b) => ORDER[a.status] - ORDER[b.status] || a.service.localeCompare(b.service)),
    [services],
  );
  const past = usePast(useMemo(() => services.map((health) => health.service).sort(), [services]));
  return (
    <Card title="Services" flush aside={<span className="quiet">last 60 s</span>}>
      {services.length === 0 ? (
        <Empty icon="question" title="No service has been seen yet" />
      ) : (
        <table className="table services">
          <thead>
            <tr>
              <th scope="col">Service</th>
              <th scope="col">Status</th>
              <th scope="col" className="num">
                Req/s
              </th>
              <th scope="col" className="num">
                Errors
              </th>
              <th scope="col" className="num wide-only">
                p50
              </th>
              <th scope="col" className="num">
                p95
              </th>
              <th scope="col" className="wide-only">
                Rate, 2 min
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.map((health) => (
              <Row key={health.service} health={health} past={past.get(health.service) ?? NO_PAST} />
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}
