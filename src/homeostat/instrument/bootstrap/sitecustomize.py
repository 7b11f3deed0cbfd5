"""Runs in the instrumented program before its own first line: this folder is in front of its PYTHONPATH.

Put there by ``homeostat.instrument.launch``. Only the standard library may be used before the program's environment
is known to be the one that was looked at; other Pythons that the program starts are left alone.
"""

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

_HERE = os.path.realpath(os.path.dirname(__file__))  # noqa: PTH120 - pathlib is not loaded yet: start-up stays short


def _run_the_one_we_hide() -> None:
    """Another sitecustomize (a distribution's, a coverage tool's) must run as if we were not there."""
    others = [path for path in sys.path if os.path.realpath(path or ".") != _HERE]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def _instrument() -> None:
    if sys.prefix != os.environ.get("HOMEOSTAT_INSTRUMENT_PREFIX"):
        return  # another environment: what was prepared does not fit it
    bundle = os.environ.get("HOMEOSTAT_INSTRUMENT_BUNDLE")
    if bundle and bundle not in sys.path:
        sys.path.append(bundle)  # behind the program's own libraries: they win
    try:
        from opentelemetry.instrumentation.auto_instrumentation import initialize

        initialize()
    except Exception as error:  # noqa: BLE001 - the program must run even where it can't be observed
        _say(f"the program runs without telemetry: {error!r}")
        return
    try:
        import homeostat_instrument_logs  # pyright: ignore[reportMissingImports] - beside this file, at run time

        homeostat_instrument_logs.stay_unseen()
    except Exception as error:  # noqa: BLE001 - as above
        _say(f"telemetry is sent, but the program may print its log differently: {error!r}")
    report = os.environ.get("HOMEOSTAT_INSTRUMENT_REPORT")
    if not report:
        return
    try:
        import homeostat_instrument_probe  # pyright: ignore[reportMissingImports] - beside this file, at run time

        homeostat_instrument_probe.start(report)
    except Exception as error:  # noqa: BLE001 - as above
        _say(f"telemetry is sent, but the doctor is not told what was hooked: {error!r}")


def _say(what: str) -> None:
    print(f"homeostat instrument: {what}", file=sys.stderr)


_run_the_one_we_hide()
_instrument()
