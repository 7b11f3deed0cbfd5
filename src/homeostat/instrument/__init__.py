"""Runs Python programs under OpenTelemetry's own auto-instrumentation, and says what was hooked and what was not.

Used by ``cli.instrument``. ``bootstrap`` runs inside the other program: standard library and OpenTelemetry only.
"""
