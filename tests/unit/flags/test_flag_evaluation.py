"""Rules decide as they do in flagd, and nothing that a context holds can make an evaluation fail otherwise."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import ConfigError
from homeostat.flags import ContextError, FlagSet, evaluation
from homeostat.flags.evaluation import Evaluator
from homeostat.flags.reading import read_flags

VARIANTS = {"on": "ON", "off": "OFF", "default": "DEFAULT"}


def flags_of(rule: object, **more: object) -> FlagSet:
    flag = {"state": "ENABLED", "variants": VARIANTS, "defaultVariant": "default", "targeting": rule}
    return read_flags(json.dumps({"flags": {"f": flag}, **more}), "flags.json")


def decide(rule: object, context: dict[str, Any], **more: object) -> tuple[object, str]:
    flags = flags_of(rule, **more)
    found = Evaluator(flags).evaluate(flags.flags["f"], None, context)
    return found.value, found.reason


def test_rules_without_their_evaluator_are_a_mistake_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openfeature.contrib.tools.flagd.core", None)
    with pytest.raises(ConfigError, match="pip install openfeature-flagd-core"):
        Evaluator(flags_of({"if": [True, "on"]}))


def test_flags_without_rules_need_no_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_core_for", lambda _: pytest.fail("loaded"))
    flags = flags_of({})
    assert Evaluator(flags).evaluate(flags.flags["f"], None, {}).value == "DEFAULT"


class TestRules:
    @pytest.fixture(autouse=True)
    def _core(self) -> None:
        pytest.importorskip("openfeature.contrib.tools.flagd.core", reason="openfeature-flagd-core is not installed")

    @pytest.mark.parametrize(
        ("condition", "context", "holds"),
        [
            ({"==": [{"var": "tier"}, "gold"]}, {"tier": "gold"}, True),
            ({"==": [{"var": "tier"}, "gold"]}, {}, False),
            ({"in": [{"var": "country"}, ["DE", "FR"]]}, {"country": "FR"}, True),
            ({"in": ["@x.org", {"var": "email"}]}, {"email": "a@x.org"}, True),
            ({"starts_with": [{"var": "email"}, "admin@"]}, {"email": "admin@x.org"}, True),
            ({"starts_with": [{"var": "email"}, "admin@"]}, {"email": 7}, False),
            ({"ends_with": [{"var": "email"}, ".org"]}, {"email": "admin@x.org"}, True),
            ({"sem_ver": [{"var": "v"}, ">=", "1.10.0"]}, {"v": "1.9.9"}, False),
            ({"sem_ver": [{"var": "v"}, ">=", "1.10.0"]}, {"v": "1.10.0"}, True),
            ({"sem_ver": [{"var": "v"}, "^", "1.2.0"]}, {"v": "1.99.0"}, True),
            ({"sem_ver": [{"var": "v"}, "~", "1.2.0"]}, {"v": "1.3.0"}, False),
            ({"and": [{"var": "a"}, {"!": [{"var": "b"}]}]}, {"a": True, "b": False}, True),
            ({"or": [{"var": "a"}, {"var": "b"}]}, {"a": False}, False),
            ({"<": [{"var": "user.age"}, 18]}, {"user": {"age": 17}}, True),
            ({"==": [{"var": "$flagd.flagKey"}, "f"]}, {}, True),
            ({"==": [{"var": "targetingKey"}, "payment"]}, {"targetingKey": "payment"}, True),
            ({"$ref": "isGold"}, {"tier": "gold"}, True),
        ],
    )
    def test_a_condition_decides(self, condition: object, context: dict[str, Any], holds: bool) -> None:
        shared = {"$evaluators": {"isGold": {"==": [{"var": "tier"}, "gold"]}}}
        assert decide({"if": [condition, "on", "off"]}, context, **shared)[0] == ("ON" if holds else "OFF")

    def test_no_decision_is_the_default(self) -> None:
        assert decide({"if": [{"var": "nothing"}, "on"]}, {}) == ("DEFAULT", "DEFAULT")

    def test_a_share_of_the_subjects_is_the_same_subjects_each_time(self) -> None:
        rule = {"fractional": [["on", 20], ["off", 80]]}
        flags = flags_of(rule)
        evaluator = Evaluator(flags)
        first, again = (
            [evaluator.evaluate(flags.flags["f"], None, {"targetingKey": f"user-{n}"}).value for n in range(2000)]
            for _ in range(2)
        )
        assert first == again
        share = Counter(first)["ON"] / 2000
        assert 0.16 < share < 0.24  # four standard deviations around 0.2

    def test_a_targeting_key_is_a_text(self) -> None:
        with pytest.raises(ContextError, match="targetingKey"):
            decide({"if": [True, "on"]}, {"targetingKey": 5})

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(["v", "email", "n", "targetingKey", "list", "$flagd"]),
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=6)
            | st.lists(st.integers(), max_size=3)
            | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        )
    )
    def test_any_context_is_an_answer_or_a_named_refusal(self, context: dict[str, Any]) -> None:
        rule = {
            "if": [
                {"sem_ver": [{"var": "v"}, "~", {"var": "email"}]},
                {"fractional": [{"var": "n"}, ["on", 1], ["off", 1]]},
                {"<": [{"+": [{"var": "n"}, 1]}, {"var": "list"}]},
                {"substr": [{"var": "email"}, {"var": "n"}]},
                {"%": [7, {"var": "n"}]},
                "on",
                {"fractional": [["on", 1], ["off", 1]]},
            ]
        }
        flags = flags_of(rule)
        try:
            found = Evaluator(flags).evaluate(flags.flags["f"], None, context)
        except ContextError:
            return
        assert (
            found.decided
            or found.error_code in {"GENERAL", "PARSE_ERROR", "TYPE_MISMATCH"}
            or found.reason == "DEFAULT"
        )
        json.dumps(found.value)
