"""Keeps a program's own logging as it is, from inside the program: what it prints must not change.

OpenTelemetry takes log records by a handler of the root logger. A program that has set up nothing then prints nothing
any more: ``logging``'s last resort, ``logging.warning`` and Flask's development server all look whether there is a
handler. So its handler is taken off the root logger, and records are given to it behind all others. Called by
``sitecustomize`` beside it.
"""

import logging


def stay_unseen() -> None:
    """Take OpenTelemetry's handlers off the root logger and feed them all the same."""
    root = logging.getLogger()
    unseen = [handler for handler in root.handlers if type(handler).__module__.startswith("opentelemetry.")]
    if not unseen:
        return
    for handler in unseen:
        root.removeHandler(handler)
    original = logging.Logger.callHandlers

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        original(self, record)
        if _reaches_root(self):
            for handler in unseen:
                if record.levelno >= handler.level:
                    handler.handle(record)

    logging.Logger.callHandlers = call_handlers


def _reaches_root(logger: logging.Logger) -> bool:
    """Whether handlers of the root logger would get the logger's records."""
    while logger.parent is not None:
        if not logger.propagate:
            return False
        logger = logger.parent
    return True
