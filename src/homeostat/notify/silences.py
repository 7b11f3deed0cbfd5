"""Silences of an Alertmanager as maintenance windows. Used by ``outbox``.

A silence counts where its matchers speak of services (``service``, ``service_name``, ``job``) or alert names: of a
narrower one (an instance, a severity) Homeostat cannot say what it covers. Regular expressions are read as far as
they are texts with ``|``, ``.*`` and ``.+``: that is what people write, and it cannot run away.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from homeostat.core.events import ALERTMANAGER, SERVICE_LABELS, MaintenanceWindow
from homeostat.notify.alertmanager import Matcher, Silence

ALERT_LABEL: Final = "alertname"
PATTERN_MAX: Final = 1_000
WILDCARDS_MAX: Final = 3
"""Of one alternative: each multiplies the time that a name which does not fit takes by the length of the name."""

_SPECIAL: Final = re.compile(r"[\\^$*+?{}\[\]()]")


def windows_of(silences: Sequence[Silence], services: Collection[str]) -> list[MaintenanceWindow]:
    """The active ones that can be understood. ``services``: those that exist, for patterns and negations."""
    found = (window_of(silence, services) for silence in silences if silence.status.state == "active")
    return [window for window in found if window is not None]


def window_of(silence: Silence, services: Collection[str]) -> MaintenanceWindow | None:
    """None: it is about something else than services and alert names, or about no service that is known."""
    about_services = [matcher for matcher in silence.matchers if matcher.name in SERVICE_LABELS]
    about_alerts = [matcher for matcher in silence.matchers if matcher.name == ALERT_LABEL]
    if not silence.matchers or len(about_services) + len(about_alerts) != len(silence.matchers):
        return None
    named = _chosen(about_services, services) if about_services else ()
    alerts = _chosen(about_alerts, ()) if about_alerts else ()
    if named is None or alerts is None or (about_services and not named) or (about_alerts and not alerts):
        return None
    return MaintenanceWindow(
        id=silence.id,
        start=silence.startsAt,
        end=silence.endsAt,
        services=tuple(sorted(named)),
        reason=silence.comment or "a silence",
        created_by=silence.createdBy or "Alertmanager",
        source=ALERTMANAGER,
        alerts=tuple(sorted(alerts)),
    )


def _chosen(matchers: Sequence[Matcher], known: Collection[str]) -> Collection[str] | None:
    """The values that all matchers accept; None for a pattern that is not understood."""
    candidates, patterns = set(known), list[tuple[re.Pattern[str], bool]]()
    for matcher in matchers:
        literals = _literals(matcher)
        if literals is not None and matcher.isEqual:
            candidates |= literals
        pattern = _pattern(matcher)
        if pattern is None:
            return None
        patterns.append((pattern, matcher.isEqual))
    return {
        name
        for name in candidates
        if all((pattern.fullmatch(name) is not None) is equal for pattern, equal in patterns)
    }


def _literals(matcher: Matcher) -> set[str] | None:
    """The values that a matcher lists, where it lists some."""
    if not matcher.isRegex:
        return {matcher.value}
    return None if _SPECIAL.search(matcher.value) or "." in matcher.value else set(matcher.value.split("|"))


def _pattern(matcher: Matcher) -> re.Pattern[str] | None:
    if not matcher.isRegex:
        return re.compile(re.escape(matcher.value))
    text = matcher.value
    if text.startswith("(") and text.endswith(")") and text.count("(") == 1:
        text = text[1:-1].removeprefix("?:")
    parts = re.split(r"(\.\*|\.\+|\|)", text)
    if any(alternative.count(".*") + alternative.count(".+") > WILDCARDS_MAX for alternative in text.split("|")):
        return None
    if len(text) > PATTERN_MAX or any(_SPECIAL.search(part) for part in parts[::2]):
        return None
    # A dot between texts means any character, in a name most often itself: either way it is one character.
    escaped = (part if index % 2 else re.escape(part).replace(r"\.", ".") for index, part in enumerate(parts))
    return re.compile("(?:" + "".join(escaped) + ")", re.DOTALL)
