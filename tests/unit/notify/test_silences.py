"""Silences as maintenance windows: what is understood, and what is left alone."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.events import MaintenanceWindow
from homeostat.notify.alertmanager import Matcher, Silence, SilenceStatus
from homeostat.notify.silences import WILDCARDS_MAX, window_of, windows_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KNOWN = ("payment", "checkout", "checkout-2", "a.b")


def silence(*matchers: Matcher, state: str = "active") -> Silence:
    return Silence(
        id="s1",
        status=SilenceStatus(state=state),
        startsAt=NOW,
        endsAt=NOW + timedelta(hours=1),
        createdBy="ann",
        comment="planned",
        matchers=matchers,
    )


def matcher(name: str, value: str, *, regex: bool = False, equal: bool = True) -> Matcher:
    return Matcher(name=name, value=value, isRegex=regex, isEqual=equal)


def services(*matchers: Matcher) -> tuple[str, ...] | None:
    window = window_of(silence(*matchers), KNOWN)
    return None if window is None else window.services


@pytest.mark.parametrize(
    ("given_matchers", "expected"),
    [
        ([matcher("service", "payment")], ("payment",)),
        ([matcher("job", "not-seen-yet")], ("not-seen-yet",)),
        ([matcher("service", "payment|unseen", regex=True)], ("payment", "unseen")),
        ([matcher("service", "(payment|checkout)", regex=True)], ("checkout", "payment")),
        ([matcher("service", "checkout.*", regex=True)], ("checkout", "checkout-2")),
        ([matcher("service", "checkout.+", regex=True)], ("checkout-2",)),
        ([matcher("service", "check", regex=True)], ("check",)),  # anchored: it is no service that is known
        ([matcher("service", "payment", equal=False)], ("a.b", "checkout", "checkout-2")),
        (
            [matcher("service", "checkout.*", regex=True), matcher("service", "checkout", equal=False)],
            ("checkout-2",),
        ),
        ([matcher("service", "a.b", regex=True)], ("a.b",)),
    ],
)
def test_services_are_named_by_value_pattern_or_negation(
    given_matchers: list[Matcher], expected: tuple[str, ...]
) -> None:
    assert services(*given_matchers) == expected


@pytest.mark.parametrize(
    "given_matchers",
    [
        [],
        [matcher("instance", "db:1")],
        [matcher("service", "payment"), matcher("instance", "db:1")],  # narrower than a service
        [matcher("service", "(a+)+$", regex=True)],
        [matcher("service", "nothing.*", regex=True)],
        [matcher("service", "x" * 2_000, regex=True)],
    ],
)
def test_what_is_narrower_or_not_understood_is_no_window(given_matchers: list[Matcher]) -> None:
    assert services(*given_matchers) is None


def test_an_alert_name_mutes_alerts_and_nothing_else() -> None:
    window = window_of(silence(matcher("alertname", "NoTraces")), KNOWN)
    assert isinstance(window, MaintenanceWindow)
    assert (window.services, window.alerts) == ((), ("NoTraces",))


def test_only_active_silences_count() -> None:
    silences = [silence(matcher("service", "payment"), state=state) for state in ("expired", "pending", "active")]
    assert len(windows_of(silences, KNOWN)) == 1


@given(st.text(max_size=50), st.booleans(), st.booleans())
def test_no_matcher_breaks_the_reading_and_all_chosen_services_match(value: str, regex: bool, equal: bool) -> None:
    found = services(matcher("service", value, regex=regex, equal=equal))
    if found is not None and not regex and equal:
        assert found == (value,)
    if found is not None and not regex and not equal:
        assert value not in found


@given(st.lists(st.sampled_from(["payment", "check", ".*", ".+", "|", "-2"]), max_size=6))
def test_what_is_understood_means_what_the_pattern_means(parts: list[str]) -> None:
    pattern = "".join(parts)
    expected = {name for name in KNOWN if re.fullmatch(pattern, name)}
    found = services(matcher("service", pattern, regex=True))
    if any(len(re.findall(r"\.[*+]", alternative)) > WILDCARDS_MAX for alternative in pattern.split("|")):
        assert found is None
        return
    assert {name for name in found or () if name in KNOWN} == expected


def test_a_pattern_of_many_wildcards_is_not_understood() -> None:
    assert services(matcher("service", ".*a" * (WILDCARDS_MAX + 1), regex=True)) is None
    assert services(matcher("service", "p.*y.*m.*|nobody.*", regex=True)) == ("payment",)
