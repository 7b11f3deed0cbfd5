import { describe, expect, it } from "vitest";

import type { MetricInfo, MetricSeries } from "../../api/metrics";
import { aggregationsOf, groupsOf, matching, ownLast, queryParams, readView, seriesNames, valueText } from "./view";

const metric = (change: Partial<MetricInfo>): MetricInfo => ({
  name: "shop.items.sold",
  type: "sum",
  unit: "{item}",
  description: "Items that were paid for",
  monotonic: true,
  services: ["payment"],
  more_services: false,
  ...change,
});

const series = (labels: Record<string, string>): MetricSeries => ({ name: "m", labels, start_s: 0, step_s: 60, values: [] });

describe("metrics on the page", () => {
  it("Homeostat's own stand last", () => {
    const names = ["homeostat_escalated_total", "shop.items.sold", "http.server.duration"];
    expect(ownLast(names.map((name) => metric({ name }))).map((one) => one.name)).toEqual([names[1], names[2], names[0]]);
  });

  it("all in one is asked for with an empty group", () => {
    expect(groupsOf("")).toBeNull();
    expect(groupsOf("*")).toEqual([""]);
    expect(groupsOf("a, b")).toEqual(["a", "b"]);
    expect(queryParams(readView(new URLSearchParams("name=m&group_by=*")))).toMatchObject({ group_by: [""], minutes: "60" });
  });

  it("values have the unit of the metric", () => {
    expect(valueText(metric({}), "")(2.5)).toBe("2.5 item/s");
    expect(valueText(metric({}), "increase")(12)).toBe("12 item");
    expect(valueText(metric({ type: "histogram", unit: "s" }), "")(0.25)).toBe("250 ms");
    expect(valueText(metric({ type: "histogram", unit: "s" }), "rate")(3)).toBe("3/s");
    expect(valueText(metric({ type: "gauge", unit: "By" }), "")(2048)).toBe("2 KiB");
  });

  it("the first aggregation is the usual one", () => {
    expect(aggregationsOf(metric({}))[0]).toBe("rate");
    expect(aggregationsOf(metric({ type: "histogram" }))[0]).toBe("quantile");
    expect(aggregationsOf(metric({ type: "gauge" }))[0]).toBe("last");
  });

  it("series are named by what tells them apart", () => {
    expect(seriesNames([series({ region: "eu", host: "a" }), series({ region: "us", host: "a" })])).toEqual(["region=eu", "region=us"]);
    expect(seriesNames([series({})])).toEqual(["all"]);
  });

  it("the catalog is searched by name, description and service", () =>
    expect(matching([metric({}), metric({ name: "x", description: "" })], "paid")).toHaveLength(1));
});
