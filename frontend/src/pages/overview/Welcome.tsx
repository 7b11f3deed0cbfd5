import { useOverview } from "../../api/queries";
import { Card } from "../../ui/Card";
import { CopyButton } from "../../ui/CopyButton";
import { OtlpAddresses, reachable } from "../../ui/OtlpAddresses";

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
  const otlp = useOverview().data?.otlp;
  const url = otlp?.http ?? otlp?.grpc ?? null;
  const environment = [
    ...(url === null ? [] : [`export OTEL_EXPORTER_OTLP_ENDPOINT=${reachable(url)}`]),
    `export OTEL_EXPORTER_OTLP_PROTOCOL=${url !== null && url === otlp?.grpc ? "grpc" : "http/protobuf"}`,
    "export OTEL_SERVICE_NAME=my-service",
  ].join("\n");
  return (
    <Card title="Waiting for the first telemetry">
      <div className="welcome">
        <div>
          <h3>Your services speak OpenTelemetry?</h3>
          <p>
            Point your exporter at <OtlpAddresses /> and start the service again. It appears here within seconds.
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
