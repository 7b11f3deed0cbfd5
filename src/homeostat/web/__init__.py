"""Where the built dashboard lies. ``app`` hands the folder to ``api``, which serves it.

The files are built from ``frontend/`` by ``hatch_build.py`` when the wheel is made (or by ``python hatch_build.py``
in a checkout); they are not in version control.
"""

from pathlib import Path

_STATIC = Path(__file__).parent / "static"


def static_dir() -> Path | None:
    """The folder with ``index.html`` and ``assets/``; None when the dashboard was not built.

    Every file in ``assets/`` has a hash of its content in its name and may be cached for ever, ``index.html`` not.
    """
    return _STATIC if (_STATIC / "index.html").is_file() else None
