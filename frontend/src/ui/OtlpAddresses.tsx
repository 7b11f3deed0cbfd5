import { useOverview } from "../api/queries";

/** An address that stands for all of this machine is reached under the name of this page. */
export function reachable(url: string): string {
  const host = location.hostname.includes(":") && !location.hostname.startsWith("[") ? `[${location.hostname}]` : location.hostname;
  return url.replace(/\/\/(?:0\.0\.0\.0|\[::\])(?=[:/]|$)/, `//${host}`);
}

/** Where OpenTelemetry data is received, in the middle of a sentence. */
export function OtlpAddresses() {
  const otlp = useOverview().data?.otlp;
  const shown = [
    [otlp?.http, "HTTP"],
    [otlp?.grpc, "gRPC"],
  ].flatMap(([url, kind]) => (url === null || url === undefined ? [] : [{ url: reachable(url), kind }]));
  if (shown.length === 0) return "OTLP";
  return shown.map(({ url, kind }, index) => (
    <span key={kind}>
      {index > 0 && " or "}
      <code>{url}</code> (OTLP over {kind})
    </span>
  ));
}
