"""The embedded telemetry store: a write-ahead log, a hot Arrow buffer and Parquet segments, read as one view.

``observe.pipeline`` writes it, ``app`` hands its reading half (``core.ports.TelemetryStore``) to everybody else.
"""
