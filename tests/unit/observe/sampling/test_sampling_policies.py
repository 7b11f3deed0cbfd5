"""Each policy means what it means in the Collector."""

import re
from collections.abc import Mapping

import pytest

from support.sampled import P, kept_by, policy, sampler

Given = Mapping[str, object]
KEY = "key"


def _numeric(**bounds: object) -> Given:
    return policy("numeric_attribute", key=KEY, **bounds)


def _text(*values: str, **more: object) -> Given:
    return policy("string_attribute", key=KEY, values=list(values), **more)


@pytest.mark.parametrize(
    ("given", "spans", "kept"),
    [
        (policy("always_sample"), [P()], True),
        (policy("latency", threshold_ms=100), [P(ms=100)], True),
        (policy("latency", threshold_ms=100), [P(ms=99.999)], False),
        (policy("latency", threshold_ms=100), [P(ms=1), P(span=2, parent=1, at=99, ms=1)], True),
        (policy("latency", threshold_ms=100, upper_threshold_ms=200), [P(ms=100)], False),
        (policy("latency", threshold_ms=100, upper_threshold_ms=200), [P(ms=200)], True),
        (policy("latency", threshold_ms=100, upper_threshold_ms=200), [P(ms=201)], False),
        (_numeric(min_value=50), [P(attributes={KEY: 50})], True),
        (_numeric(min_value=50), [P(attributes={KEY: 49})], False),
        (_numeric(min_value=50), [P(attributes={KEY: "many"})], False),
        (_numeric(min_value=50), [P(attributes={KEY: "50"})], True),
        (_numeric(max_value=-1.5), [P(attributes={KEY: -2.25})], True),
        (_numeric(max_value=9), [P(), P(span=2, parent=1)], False),
        (_numeric(min_value=1, max_value=3), [P(resource={KEY: 3})], True),
        (_numeric(min_value=1, max_value=3), [P(attributes={KEY: 4})], False),
        (_numeric(min_value=1, max_value=3, invert_match=True), [P(attributes={KEY: 4})], True),
        (_numeric(min_value=1, max_value=3, invert_match=True), [P(attributes={KEY: 2})], False),
        (_text("a", "b"), [P(), P(span=2, parent=1, attributes={KEY: "b"})], True),
        (_text("a"), [P(attributes={KEY: "ab"})], False),
        (_text("a"), [P(attributes={KEY + "s": "a", "ke": "a"})], False),
        (_text("", "a"), [P(attributes={KEY: ""})], False),
        (_text("a"), [P(resource={KEY: "a"})], True),
        (_text("a", invert_match=True), [P(attributes={KEY: "a"})], False),
        (_text("a", invert_match=True), [P()], True),
        (_text("^a.*z$", enabled_regex_matching=True, cache_max_size=10), [P(attributes={KEY: "abcz"})], True),
        (_text("a.c", enabled_regex_matching=True), [P(attributes={KEY: "xabcx"})], True),
        (_text("^b", "^c", enabled_regex_matching=True), [P(attributes={KEY: "abc"})], False),
        (policy("status_code", status_codes=["ERROR"]), [P(status=2)], True),
        (policy("status_code", status_codes=["ERROR"]), [P(status=1)], False),
        (policy("status_code", status_codes=["OK", "UNSET"]), [P(status=2), P(span=2, parent=1)], True),
        (policy("trace_state", key="shop", values=["x", "y"]), [P(state="other=x,shop=y")], True),
        (policy("trace_state", key="shop", values=["x"]), [P(state="shop=xy")], False),
        (policy("trace_flags"), [P(flags=1)], True),
        (policy("trace_flags"), [P(flags=256)], False),
        (policy("span_count", min_spans=2), [P()], False),
        (policy("span_count", min_spans=2), [P(), P(span=2, parent=1)], True),
        (policy("span_count", min_spans=1, max_spans=1), [P(), P(span=2, parent=1)], False),
        (policy("boolean_attribute", key=KEY, value=True), [P(attributes={KEY: True})], True),
        (policy("boolean_attribute", key=KEY, value=True), [P(attributes={KEY: False})], False),
        (policy("boolean_attribute", key=KEY, value=False), [P(attributes={KEY: False})], True),
        (policy("boolean_attribute", key=KEY, value=False), [P()], False),
        (policy("boolean_attribute", key=KEY, value=True, invert_match=True), [P()], True),
        (policy("not", not_sub_policy=policy("span_count", min_spans=2)), [P()], True),
        (policy("not", not_sub_policy=policy("always_sample")), [P()], False),
        (policy("and", and_sub_policy=[_text("a"), _numeric(min_value=1)]), [P(attributes={KEY: "a"})], False),
        (policy("and", and_sub_policy=[_text("1"), _numeric(min_value=1)]), [P(attributes={KEY: "1"})], True),
        (policy("and", and_sub_policy=[_text("a", invert_match=True)]), [P()], True),
        (policy("probabilistic", sampling_percentage=100), [P()], True),
        (policy("probabilistic", sampling_percentage=0), [P()], False),
        (policy("cel", expression="attributes['key'] == 'a' && duration_ms > 5.0"), [P(attributes={KEY: "a"})], True),
        (policy("cel", expression="attributes['key'] == 'a'"), [P()], False),
        (policy("cel", expression="root && service == 'shop' && 'z' in resource"), [P(resource={"z": "x"})], True),
        (policy("cel", expression="status == 'error' || kind == 'client'"), [P(), P(1, 2, 1, status=2)], True),
        (policy("cel", expression="attributes.exists(k, k.startsWith('ke'))"), [P(attributes={KEY: 1})], True),
        (policy("cel", expression="1 + 1"), [P()], False),
        (policy("endpoint", paths=["/api/deploy"]), [P(name="POST /api/deploy")], True),
        (policy("endpoint", paths=["/api/deploy"]), [P(name="POST /api/deployments")], False),
        (policy("endpoint", paths=["/api/deploy"]), [P(attributes={"http.target": "/api/deploy/7?x=1"})], True),
        (policy("endpoint", paths=["/api/deploy"]), [P(attributes={"url.path": "/v2/api/deploy"})], False),
        (policy("endpoint", paths=["/a.b/"], keys=["url"]), [P(attributes={"url": "http://h:1/a.b"})], True),
        (policy("endpoint", paths=["/a.b"], keys=["http.url"]), [P(attributes={"http.url": "http://h/axb"})], False),
        (policy("endpoint", paths=["/api/deploy"]), [P(attributes={"other": "/api/deploy"})], False),
    ],
    ids=lambda value: re.sub(r"[^\w=.]+", " ", str(value))[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_policy_keeps_the_traces_it_says(given: Given, spans: list[P], kept: bool) -> None:
    by = sampler(given)
    assert kept_by(by, *spans) == ({1: (1.0, "it")} if kept else {})


def test_all_spans_of_a_trace_decide_it_whatever_batch_they_come_in() -> None:
    by = sampler(policy("status_code", status_codes=["ERROR"]), policy("span_count", name="many", min_spans=3))
    from support.sampled import decided, spans

    by.take(spans(P(span=2, parent=1), P(trace=2)), 1, 1, 0.0)
    by.take(spans(P(span=3, parent=2, status=2), P(trace=3, span=9)), 2, 2, 0.1)
    by.take(spans(P(), P(trace=2, span=2, parent=1)), 3, 3, 0.2)
    assert decided(by.due(5.0)) == {1: (1.0, "it")}


DROP = policy("drop", "drop", drop_sub_policy=[policy("string_attribute", key="noise", values=["yes"])])
NOISE = {"noise": "yes"}


@pytest.mark.parametrize(
    ("policies", "attributes", "kept"),
    [
        ([policy("always_sample"), DROP], NOISE, False),
        ([policy("always_sample"), DROP], {}, True),
        ([DROP], {}, False),
        ([policy("always_sample"), _text("a", invert_match=True) | {"name": "not a"}], {KEY: "a"}, False),
        ([policy("always_sample"), _text("a", invert_match=True) | {"name": "not a"}], {}, True),
        ([_text("b"), _text("a", invert_match=True) | {"name": "not a"}], {}, False),
        ([_text("b", invert_match=True), _text("a", invert_match=True) | {"name": "not a"}], {}, True),
        ([_text("b", invert_match=True), DROP], {}, False),
    ],
)
def test_precedence_is_that_of_the_collector(policies: list[Given], attributes: dict[str, str], kept: bool) -> None:
    assert bool(kept_by(sampler(*policies), P(attributes=attributes))) is kept


def test_a_drop_policy_needs_all_of_its_parts() -> None:
    both = policy("drop", "drop", drop_sub_policy=[_text("a"), policy("span_count", min_spans=2)])
    by = sampler(policy("always_sample", "all"), both)
    assert set(kept_by(by, P(attributes={KEY: "a"}), P(2, attributes={KEY: "a"}), P(2, 2, 1))) == {1}


def test_with_sample_on_first_match_a_drop_behind_is_not_asked() -> None:
    given = [policy("always_sample"), DROP]
    assert kept_by(sampler(*given, sample_on_first_match=True), P(attributes=NOISE))
    assert not kept_by(sampler(*reversed(given), sample_on_first_match=True), P(attributes=NOISE))


def test_the_surest_policy_is_the_reason() -> None:
    by = sampler(
        policy("probabilistic", "some", sampling_percentage=99.9999),
        policy("latency", "slow", threshold_ms=5),
        policy("status_code", "errors", status_codes=["ERROR"]),
    )
    assert kept_by(by, P(status=2)) == {1: (1.0, "slow")}


def test_the_built_in_policies_keep_errors_slow_traces_and_critical_endpoints() -> None:
    by = sampler(sampling_percentage=0)
    kept = kept_by(
        by,
        P(1),
        P(2, status=2),
        P(3, attributes={"http.status_code": 404}),
        P(4, attributes={"http.response.status_code": 500}),
        P(5, attributes={"http.status_code": 399}),
        P(6, ms=1001),
        P(7, attributes={"url.path": "/api/backup/1"}),
        P(8, name="GET /api/security"),
    )
    assert {trace: reason for trace, (_, reason) in kept.items()} == {
        2: "errors",
        3: "errors (http.status_code)",
        4: "errors (http.response.status_code)",
        6: "slow",
        7: "critical endpoints",
        8: "critical endpoints",
    }
    assert {probability for probability, _ in kept.values()} == {1.0}


def test_rate_limiting_lets_so_many_spans_through_in_a_second_and_says_at_which_rate() -> None:
    by = sampler(policy("rate_limiting", spans_per_second=10))
    kept = kept_by(by, *(P(trace, span, span - 1) for trace in range(1, 21) for span in (1, 2)))
    assert list(kept) == [1, 2, 3, 4, 5]
    assert {probability for probability, _ in kept.values()} == {0.25}


def test_a_trace_that_does_not_fit_leaves_its_room_to_smaller_ones() -> None:
    by = sampler(policy("rate_limiting", spans_per_second=3))
    sizes = {1: 2, 2: 5, 3: 1, 4: 1}
    kept = kept_by(by, *(P(trace, span, span - 1) for trace, size in sizes.items() for span in range(1, size + 1)))
    assert set(kept) == {1, 3}


def test_what_a_limit_held_back_is_weighed_in_when_it_lets_through_again() -> None:
    from support.sampled import decided, spans

    by = sampler(policy("rate_limiting", spans_per_second=2), decide_after_root="400ms")
    kept: dict[int, tuple[float, str]] = {}
    for second in range(20):
        for part in range(2):
            at = second + part / 2
            traces = range(1000 * second + 100 * part, 1000 * second + 100 * part + 10)
            by.take(spans(*(P(trace + 1) for trace in traces)), 1, 1, at)
            kept |= decided(by.due(at + 0.45))
    weighted = sum(1 / probability for probability, _ in kept.values())
    assert weighted == pytest.approx(400, rel=0.05)


def test_bytes_limiting_empties_its_bucket_and_fills_it_with_time() -> None:
    from support.sampled import decided, spans

    by = sampler(policy("bytes_limiting", bytes_per_second=1000, burst_capacity=3000))
    heavy = {"text": "x" * 1400}
    by.take(spans(*(P(trace, attributes=heavy) for trace in (1, 2, 3))), 1, 1, 0.0)
    assert set(decided(by.due(2.0))) == {1, 2}
    by.take(spans(*(P(trace, attributes=heavy) for trace in (4, 5))), 2, 2, 2.5)
    assert set(decided(by.due(4.0))) == {4}


def test_a_composite_policy_gives_each_part_its_share_of_the_spans() -> None:
    by = sampler(
        policy(
            "composite",
            max_total_spans_per_second=20,
            policy_order=["a", "b", "rest"],
            composite_sub_policy=[
                policy("always_sample", "rest"),
                {**_text("a"), "name": "a"},
                {**_text("b"), "name": "b"},
            ],
            rate_allocation=[{"policy": "a", "percent": 50}, {"policy": "b", "percent": 25}],
        )
    )
    groups = {0: {KEY: "a"}, 100: {KEY: "b"}, 200: {}}
    kept = kept_by(by, *(P(base + n, attributes=given) for base, given in groups.items() for n in range(1, 41)))
    counts = [sum(base < trace <= base + 40 for trace in kept) for base in groups]
    assert counts == [10, 5, 5]
    assert {round(probability, 4) for probability, _ in kept.values()} == {0.25, 0.125}


def test_chances_inside_and_multiply_and_those_of_two_policies_join() -> None:
    share = [
        policy("string_attribute", "a", key=KEY, values=["a"]),
        policy("probabilistic", "x", sampling_percentage=50),
    ]
    by = sampler(
        policy("and", "a half", and_sub_policy=[*share, policy("probabilistic", "y", sampling_percentage=50)]),
        policy("probabilistic", "tenth", sampling_percentage=10),
    )
    kept = kept_by(by, *(P(trace, attributes={KEY: "a" if trace % 2 else "b"}) for trace in range(1, 4001)))
    odd = [probability for trace, (probability, _) in kept.items() if trace % 2]
    even = [probability for trace, (probability, _) in kept.items() if not trace % 2]
    assert {round(value, 4) for value in odd} == {round(1 - 0.75 * 0.9, 4)}
    assert {round(value, 4) for value in even} == {round(1 - 0.75 * 0.9, 4)} or {round(v, 4) for v in even} == {0.1}


def test_an_incoming_threshold_multiplies_into_the_probability() -> None:
    by = sampler(policy("always_sample"))
    kept = kept_by(
        by,
        P(1, state="ot=th:8"),
        P(2, state="vendor=1,ot=rv:abc;th:c"),
        P(3, state="ot=th:zz"),
        P(4, 2, 1, state="ot=th:c"),
        P(4, 1, 0, state="ot=th:8"),
        P(5, state="ot=th:0"),
    )
    assert {trace: probability for trace, (probability, _) in kept.items()} == {
        1: 0.5,
        2: 0.25,
        3: 1.0,
        4: 0.5,
        5: 1.0,
    }


def test_the_same_salt_chooses_the_same_traces_and_a_lower_share_is_part_of_a_higher_one() -> None:
    def chosen(percentage: float, salt: str, seed: int = 1) -> set[int]:
        by = sampler(policy("probabilistic", sampling_percentage=percentage, hash_salt=salt), seed=seed)
        kept = kept_by(by, *(P(trace * 7919) for trace in range(1, 2001)))
        assert {round(probability, 6) for probability, _ in kept.values()} == {percentage / 100}
        return set(kept)

    fifth = chosen(20, "a")
    assert fifth == chosen(20, "a", seed=2)
    assert chosen(5, "a") < fifth
    assert chosen(20, "b") != fifth
    assert len(fifth) == pytest.approx(400, rel=0.15)


def test_the_salted_hash_is_fnv_1a_of_salt_and_trace_id() -> None:
    def fnv1a(data: bytes) -> int:
        value = 0xCBF29CE484222325
        for byte in data:
            value = ((value ^ byte) * 0x100000001B3) % 2**64
        return value

    by = sampler(policy("probabilistic", sampling_percentage=30, hash_salt="pepper"))
    traces = [trace * 0x1234567_89ABCDEF for trace in range(1, 200)]
    kept = kept_by(by, *(P(trace) for trace in traces))
    expected = [t for t in traces if fnv1a(b"pepper" + t.to_bytes(16, "big")) <= int((2**64 - 1) * 0.3)]
    assert set(kept) == {trace % 2**64 for trace in expected}


def test_cel_is_only_asked_about_traces_that_nothing_cheaper_keeps() -> None:
    by = sampler(
        policy("cel", "cel", expression="attributes['gold'] == 'yes'"), policy("latency", "slow", threshold_ms=100)
    )
    assert kept_by(by, P(1, ms=200, attributes={"gold": "yes"}), P(2, attributes={"gold": "yes"}), P(3)) == {
        1: (1.0, "slow"),
        2: (1.0, "cel"),
    }


def test_with_little_traffic_everything_is_kept_but_what_is_dropped() -> None:
    few = [P(trace) for trace in range(1, 11)]
    given = [policy("probabilistic", sampling_percentage=10), DROP]
    by = sampler(*given, quiet_traces_per_second=2.0)
    kept = kept_by(by, *few, P(99, attributes=NOISE))
    assert kept == dict.fromkeys(range(1, 11), (1.0, "quiet"))
    by = sampler(*given, quiet_traces_per_second=2.0)
    assert len(kept_by(by, *(P(trace) for trace in range(1, 201)))) == 20


def test_traces_of_a_burst_are_not_spared_because_it_is_quiet_when_they_are_decided() -> None:
    from support.sampled import decided, spans

    by = sampler(policy("probabilistic", sampling_percentage=10), quiet_traces_per_second=2.0)
    by.take(spans(*(P(trace, parent=9) for trace in range(1, 201))), 1, 1, 0.0)
    assert by.due(20.0) is None
    assert len(decided(by.due(31.0))) == 20
