"""OTLP requests -> Arrow columns, one file per signal. Called by ``observe.intake``."""
