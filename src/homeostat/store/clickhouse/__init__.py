"""ClickHouse as a store that several Homeostats and OpenTelemetry Collectors share: the collector exporter's tables.

``observe.lanes`` opens it when ``storage.clickhouse`` is set; what was acknowledged stays in the local log until
ClickHouse has it.
"""
