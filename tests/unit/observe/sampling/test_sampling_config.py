"""A sampling section that can't be used is refused with the place, the reason and what to do."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from homeostat.core.sampling import SamplingConfig
from homeostat.observe.sampling.sampler import Sampler
from support.sampled import policy

ANY = policy("always_sample", "any")


def _reasons(**given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        SamplingConfig.model_validate(given)
    return "\n".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in caught.value.errors())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (policy("ottl_condition", span=["true"]), "write the condition in CEL"),
        ({"name": "x", "type": "laterncy"}, "there is no policy type 'laterncy' here. Known: always_sample, and"),
        ({"name": "x", "type": "latency"}, "needs the key 'latency'"),
        ({**policy("latency", threshold_ms=1), "span_count": {"min_spans": 1}}, "settings for span_count. Remove"),
        ({"type": "always_sample"}, "name: Field required"),
        (policy("latency", threshold_ms=5, upper_threshold_ms=5), "no trace could match. Swap them"),
        (policy("latency", threshold=5), "latency.threshold: Extra inputs are not permitted"),
        (policy("numeric_attribute", key="k"), "give min_value, max_value or both"),
        (policy("numeric_attribute", key="k", min_value=2, max_value=1), "no number could match"),
        (policy("span_count", min_spans=3, max_spans=2), "no trace could match"),
        (policy("status_code", status_codes=[]), "the list is empty"),
        (policy("status_code", status_codes=["BAD"]), "'OK', 'ERROR' or 'UNSET'"),
        (policy("string_attribute", key="k", values=["("], enabled_regex_matching=True), "is no regular expression"),
        (policy("string_attribute", key="k", values=["a(?=b)"], enabled_regex_matching=True), "RE2"),
        (policy("probabilistic", sampling_percentage=-1), "greater than or equal to 0"),
        (policy("probabilistic", sampling_percentage=500), "less than or equal to 100"),
        (policy("rate_limiting", spans_per_second=0), "greater than 0"),
        (policy("and", and_sub_policy=[]), "the list is empty"),
        (policy("and", and_sub_policy=[policy("and", and_sub_policy=[ANY])]), "no policy type 'and' here"),
        (policy("drop", drop_sub_policy=[policy("ottl_condition")]), "ottl_condition is not supported"),
        (policy("not"), "needs the key 'not'"),
        (policy("cel", expression="duration_ms >"), "it is no CEL expression"),
        (policy("cel", expression="duration > 5"), "a span has no 'duration'. Known: name, service"),
        (policy("endpoint", paths=["api"]), "write it from the root"),
        (policy("endpoint", paths=["/"]), "write it from the root"),
        (
            policy(
                "composite",
                max_total_spans_per_second=1,
                composite_sub_policy=[ANY],
                rate_allocation=[{"policy": "other", "percent": 5}],
            ),
            "rate_allocation names 'other'",
        ),
        (
            policy(
                "composite", max_total_spans_per_second=1, composite_sub_policy=[ANY], policy_order=["any", "any"]
            ),
            "policy_order names a policy twice",
        ),
        (
            policy(
                "composite",
                max_total_spans_per_second=1,
                composite_sub_policy=[ANY, policy("always_sample", "b")],
                rate_allocation=[{"policy": "any", "percent": 60}, {"policy": "b", "percent": 60}],
            ),
            "more than 100 percent",
        ),
    ],
)
def test_a_policy_that_means_nothing_is_refused(given: dict[str, object], said: str) -> None:
    assert said in _reasons(policies=[given])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policies": []}, "the list is empty"),
        ({"policies": [ANY, ANY]}, "two policies are named 'any'"),
        ({"policies": [policy("always_sample", "quiet")]}, "Choose another name"),
        ({"policies": [ANY], "sampling_percentage": 5}, "add a probabilistic policy"),
        ({"policies": [ANY], "critical_endpoints": ["/x"]}, "add an endpoint policy"),
        ({"policies": [policy("trace_flags", str(n)) for n in range(65)]}, "64 is the most"),
        ({"policies": [policy("always_sample", str(n)) for n in range(201)]}, "200 is the most"),
        ({"critical_endpoints": ["deploy"]}, "write it from the root"),
        ({"block_on_overflow": True}, "the oldest traces are decided, none is lost. Remove it"),
        ({"maximum_trace_size_bytes": 1}, "means nothing here"),
        ({"decision_wait": 30}, "with its unit"),
        ({"max_pending_mib": 0}, "greater than or equal to 1"),
        ({"decision_cache": {"sampled_cache_size": 1}}, "greater than or equal to 1000"),
        ({"decide_after_rot": "1s"}, "Extra inputs are not permitted"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(given: dict[str, object], said: str) -> None:
    assert said in _reasons(**given)


def test_the_configuration_of_a_collector_can_be_taken_over() -> None:
    """The example of the Collector's documentation, but for ottl_condition."""
    numeric = policy("numeric_attribute", "n", key="key1", min_value=50, max_value=100)
    text = policy("string_attribute", "t", key="key2", values=["value1", "value2"])
    given = {
        "decision_wait": "10s",
        "decision_wait_after_root_received": "2s",
        "num_traces": 100,
        "expected_new_traces_per_sec": 10,
        "decision_cache": {"sampled_cache_size": 100_000, "non_sampled_cache_size": 100_000},
        "policies": [
            policy("always_sample", "1"),
            policy("latency", "2", threshold_ms=5000, upper_threshold_ms=10000),
            numeric,
            policy("probabilistic", "4", sampling_percentage=10, hash_salt="salt"),
            policy("status_code", "5", status_codes=["ERROR", "UNSET"]),
            text,
            policy("string_attribute", "7", key="k", values=["val*"], enabled_regex_matching=True, cache_max_size=10),
            policy("rate_limiting", "8", spans_per_second=35),
            policy("bytes_limiting", "9", bytes_per_second=1024000, burst_capacity=2048000),
            policy("span_count", "10", min_spans=2, max_spans=20),
            policy("trace_state", "11", key="key3", values=["value1", "value2"]),
            policy("boolean_attribute", "12", key="key4", value=True),
            policy("and", "and", and_sub_policy=[numeric, text]),
            policy("drop", "drop", drop_sub_policy=[text]),
            policy("not", "not", not_sub_policy=text),
            policy(
                "composite",
                "composite",
                max_total_spans_per_second=1000,
                policy_order=["n", "t", "all", "both"],
                composite_sub_policy=[
                    *(numeric, text, policy("always_sample", "all")),
                    policy("and", "both", and_sub_policy=[numeric, text]),
                ],
                rate_allocation=[{"policy": "n", "percent": 50}, {"policy": "t", "percent": 25}],
            ),
        ],
    }
    config = SamplingConfig.model_validate(given)
    assert config.decide_after_root == timedelta(seconds=2)
    assert Sampler(config).due(0.0) is None


def test_without_configuration_the_built_in_policies_hold() -> None:
    assert [policy.name for policy in SamplingConfig().effective_policies] == [
        "errors",
        "errors (http.response.status_code)",
        "errors (http.status_code)",
        "slow",
        "critical endpoints",
        "rest",
    ]
    without = SamplingConfig.model_validate({"critical_endpoints": []})
    assert "critical endpoints" not in [policy.name for policy in without.effective_policies]
