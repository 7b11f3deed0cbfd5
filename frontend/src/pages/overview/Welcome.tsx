import { Card } from "../../ui/Card";
import { CopyButton } from "../../ui/CopyButton";

function Snippet({ text }: { text: string }) {
  return (
    <div className="snippet">
      <pre>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} />
    </div>
  );
}

/** What to do when nothing has been seen yet. */
export function Welcome() {
  const host = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const environment = [
    `export OTEL_EXPORTER_OTLP_ENDPOINT=http://${host}:4318`,
    "export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
    "export OTEL_SERVICE_NAME=my-service",
  ].join("\n");
  return (
    <Card title="Waiting for the first telemetry">
      <div className="welcome">
        <div>
          <h3>Your services speak OpenTelemetry?</h3>
          <p>
            Point your exporter at <code>http://{host}:4318</code> (HTTP) or <code>{host}:4317</code> (gRPC) and start
            the service again. It appears here within seconds.
          </p>
          <Snippet text={environment} />
        </div>
        <div>
          <h3>Nothing at hand to watch?</h3>
          <p>A small shop and a bank with real processes, real requests, and things that break and are healed:</p>
          <Snippet text="homeostat demo" />
        </div>
      </div>
    </Card>
  );
}
