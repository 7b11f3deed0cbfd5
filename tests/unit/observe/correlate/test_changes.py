"""What changed before, ranked: kind, age and nearness in the call graph."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.events import Event, EventType
from homeostat.core.red import Edge
from homeostat.observe.correlate import CallGraph, rank_changes
from homeostat.observe.correlate.changes import HALF_LIFE

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAIN = CallGraph(
    Edge(caller, callee, 10, 0, 1.0)
    for caller, callee in (("web", "checkout"), ("checkout", "payment"), ("payment", "bank"), ("web", "catalog"))
)


def change(name: str, *services: str, kind: str = "deployment", minutes: float = 5.0) -> Event:
    return Event(
        id=name,
        time=NOW - timedelta(minutes=minutes),
        type=EventType.DEPLOYMENT,
        change=kind,
        title=name,
        source="test",
        services=services,
    )


def order(*changes: Event, services: tuple[str, ...] = ("checkout",)) -> list[str]:
    return [one.event.id for one in rank_changes(changes, before=NOW, services=services, graph=CHAIN)]


def test_the_nearer_in_the_graph_the_likelier() -> None:
    changes = [change(name, name) for name in ("catalog", "web", "bank", "payment", "checkout")]
    assert order(*changes) == ["checkout", "payment", "bank", "web", "catalog"]


def test_the_later_the_likelier_and_what_comes_after_is_no_cause() -> None:
    assert order(change("old", "checkout", minutes=60), change("new", "checkout", minutes=1)) == ["new", "old"]
    assert order(change("after", "checkout", minutes=-1)) == []


def test_a_release_is_likelier_than_scaling_and_a_flag_may_concern_any_service() -> None:
    changes = [
        change("scaling", "checkout", kind="scaling"),
        change("release", "checkout"),
        change("flag", kind="flag"),
        change("elsewhere", "catalog"),
    ]
    assert order(*changes) == ["release", "flag", "scaling", "elsewhere"]


def test_the_reason_is_said_in_words() -> None:
    (found,) = rank_changes([change("r", "bank", minutes=5)], before=NOW, services=("checkout",), graph=CHAIN)
    assert (found.hops, found.age_s) == (2, 300.0)
    assert found.why == "A deployment 5 min before, of bank, 2 calls below"
    (found,) = rank_changes([change("r", "web", minutes=1)], before=NOW, services=("checkout",), graph=CHAIN)
    assert found.why == "A deployment 60 s before, of web, a caller one call above"


def test_without_a_service_kind_and_age_decide() -> None:
    assert order(change("flag", kind="flag"), change("release", "catalog"), services=()) == ["release", "flag"]


def test_circles_of_calls_end() -> None:
    circle = CallGraph([Edge("a", "b", 1, 0, 1.0), Edge("b", "a", 1, 0, 1.0), Edge("a", "a", 1, 0, 1.0)])
    assert circle.below(["a"]) == {"a": 0, "b": 1}
    assert circle.above(["a"]) == {"a": 0, "b": 1}


@given(st.floats(0, 600), st.sampled_from(["deployment", "flag", "configuration", "scaling", "other"]))
def test_scores_are_shares_and_halve_with_the_half_life(minutes: float, kind: str) -> None:
    later = HALF_LIFE.total_seconds() / 60
    one, other = rank_changes(
        [
            change("a", "checkout", kind=kind, minutes=minutes),
            change("b", "checkout", kind=kind, minutes=minutes + later),
        ],
        before=NOW,
        services=("checkout",),
        graph=CHAIN,
    )
    assert 0 <= other.score <= one.score <= 1
    assert abs(other.score - one.score / 2) < 1e-3


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=20), st.sampled_from("abcdef")
)
def test_up_and_down_the_graph_are_each_others_mirror(pairs: list[tuple[str, str]], start: str) -> None:
    forth = CallGraph(Edge(one, other, 1, 0, 1.0) for one, other in pairs)
    back = CallGraph(Edge(other, one, 1, 0, 1.0) for one, other in pairs)
    assert forth.below([start]) == back.above([start])
