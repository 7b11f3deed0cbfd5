"""Definitions are read whole or not at all, and every mistake is named with its line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.errors import ConfigError, ConfigProblem
from homeostat.flags import load_flags
from homeostat.flags.definitions import FlagKind, FlagSet, built_in_text, kind_of
from homeostat.flags.reading import read_flags

GOOD = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "on"}


def read(flag: object, **more: object) -> FlagSet:
    return read_flags(json.dumps({"flags": {"f": flag}, **more}), "flags.json")


def problems(text: str, name: str = "flags.json") -> list[ConfigProblem]:
    with pytest.raises(ConfigError) as caught:
        read_flags(text, name)
    return caught.value.problems


def of_flag(flag: object, **more: object) -> list[tuple[str, str]]:
    return [(one.key, one.message) for one in problems(json.dumps({"flags": {"f": flag}, **more}))]


class TestGoodFiles:
    def test_a_file_of_flagd_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / "flags.json"
        file.write_text(built_in_text())
        flags = load_flags(file)
        assert len(flags.flags) == 5
        assert flags.flags["cacheEnabled"].kind is FlagKind.BOOLEAN

    def test_yaml_says_the_same_as_json(self, tmp_path: Path) -> None:
        file = tmp_path / "flags.yaml"
        file.write_text(
            "flags:\n  f:\n    state: ENABLED\n    variants: {'on': true, 'off': false}\n    defaultVariant: 'on'\n"
        )
        assert load_flags(file).flags == read(GOOD).flags

    def test_tabs_are_white_space_in_json(self) -> None:
        assert read_flags(json.dumps({"flags": {"f": GOOD}}, indent="\t"), "flags.json").flags == read(GOOD).flags

    def test_metadata_of_the_set_is_that_of_every_flag(self) -> None:
        flags = read({**GOOD, "metadata": {"owner": "us"}}, metadata={"owner": "all", "team": "shop"})
        assert flags.flags["f"].metadata == {"owner": "us", "team": "shop"}

    def test_a_flag_may_leave_its_default_to_the_code(self) -> None:
        for default in (None, ""):
            assert read({**GOOD, "defaultVariant": default}).flags["f"].default_variant is None

    def test_a_variant_that_is_missing_gets_a_name(self) -> None:
        flag = read({"state": "ENABLED", "variants": {"yes": True}}).flags["f"]
        assert (flag.variant_of(True), flag.variant_of(False)) == ("yes", "false")

    def test_numbers_of_both_kinds_are_floats(self) -> None:
        assert read({"state": "ENABLED", "variants": {"a": 1, "b": 1.5}}).flags["f"].kind is FlagKind.FLOAT


class TestMistakes:
    def test_all_of_them_are_told_at_once_each_with_its_line(self) -> None:
        text = """{
  "flags": {
    "first": {
      "state": "ON",
      "variants": { "on": true, "off": "no" },
      "defaultVariant": "onn"
    },
    "second": {
      "state": "ENABLED",
      "variants": { "on": true },
      "defaultVarient": "on"
    },
    "third": 7
  }
}"""
        assert [(one.line, one.key, one.message) for one in problems(text)] == [
            (4, "flags.first.state", "'ON' is no state"),
            (5, "flags.first.variants", "the variants are of different types"),
            (6, "flags.first.defaultVariant", "'onn' is not one of the variants"),
            (11, "flags.second.defaultVarient", "unknown key"),
            (13, "flags.third", "a flag must be an object"),
        ]
        assert problems(text)[3].remedy == "Did you mean 'defaultVariant'?"
        assert all(one.remedy for one in problems(text))

    def test_lines_of_yaml_are_told_as_well(self) -> None:
        [problem] = problems("flags:\n  f:\n    state: enabled\n    variants: {a: 1}\n", "flags.yaml")
        assert (problem.line, problem.key) == (3, "flags.f.state")

    @pytest.mark.parametrize(
        ("text", "name", "line"),
        [
            ('{"flags":\n{', "f.json", 2),
            ('{"flags":\n{"a": tru}}', "f.json", 2),
            ("", "f.json", 1),
            ("flags:\n\t- x", "f.yaml", 2),
            ('{"flags": {"a": 1,\n"a": 2}}', "f.json", 2),
        ],
    )
    def test_what_is_no_json_or_yaml_is_told_with_its_line(self, text: str, name: str, line: int) -> None:
        [problem] = problems(text, name)
        assert (problem.key, problem.line) == ("(syntax)", line)

    @pytest.mark.parametrize("text", ["[]", "null", '"x"', "7"])
    def test_a_file_must_be_an_object(self, text: str) -> None:
        assert [one.key for one in problems(text)] == ["(top)"]

    @pytest.mark.parametrize("document", [{}, {"flags": {}}, {"flags": []}, {"flags": None}])
    def test_a_file_without_flags_is_a_mistake(self, document: dict[str, object]) -> None:
        assert [one.key for one in problems(json.dumps(document))] == ["flags"]

    @pytest.mark.parametrize(
        ("change", "key"),
        [
            ({"variants": {}}, "flags.f.variants"),
            ({"variants": None}, "flags.f.variants"),
            ({"variants": [True]}, "flags.f.variants"),
            ({"variants": {"on": None}}, "flags.f.variants"),
            ({"defaultVariant": 7}, "flags.f.defaultVariant"),
            ({"targeting": "on"}, "flags.f.targeting"),
            ({"metadata": {"a": {"b": 1}}}, "flags.f.metadata.a"),
            ({"state": None}, "flags.f.state"),
            ({"state": ["ENABLED"]}, "flags.f.state"),
        ],
    )
    def test_each_field_is_checked(self, change: dict[str, object], key: str) -> None:
        assert key in [one for one, _ in of_flag({**GOOD, **change})]

    def test_what_json_cannot_hold_is_refused(self) -> None:
        text = json.dumps({"flags": {"f": {"state": "ENABLED", "variants": {"a": float("nan")}}}})
        assert [problem.key for problem in problems(text)] == ["flags.f.variants.a"]

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"flags\.file"):
            load_flags(tmp_path / "none.json")

    def test_a_file_that_is_no_text_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "f.json").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="UTF-8"):
            load_flags(tmp_path / "f.json")


class TestRules:
    @pytest.mark.parametrize(
        "rule",
        [
            {"if": [{"==": [{"var": "tier"}, "gold"]}, "on", "off"]},
            {"fractional": [{"var": "targetingKey"}, ["on", 10], ["off", 90]]},
            {"if": [{"sem_ver": [{"var": "version"}, ">=", "1.0.0"]}, "on"]},
            {"$ref": "isGold"},
            {},
        ],
    )
    def test_rules_of_flagd_are_taken(self, rule: dict[str, object]) -> None:
        read({**GOOD, "targeting": rule}, **{"$evaluators": {"isGold": {"==": [{"var": "tier"}, "gold"]}}})

    def test_an_operation_that_does_not_exist_is_told(self) -> None:
        [(key, message)] = of_flag({**GOOD, "targeting": {"if": [{"start_with": [{"var": "email"}, "a"]}, "on"]}})
        assert (key, message) == ("flags.f.targeting", "'start_with' is not an operation")

    def test_two_operations_in_one_are_told(self) -> None:
        [(_, message)] = of_flag({**GOOD, "targeting": {"==": [1, 1], "!=": [1, 2]}})
        assert "exactly one name" in message

    def test_a_reference_to_nothing_is_told(self) -> None:
        [(_, message)] = of_flag({**GOOD, "targeting": {"$ref": "isGold"}})
        assert "isGold" in message

    def test_a_bottomless_rule_is_refused(self) -> None:
        for depth, said in ((40, "deeper"), (400, "deep"), (5_000, "deep")):
            rule = '{"!": [' * depth + '{"var": "x"}' + "]}" * depth
            text = json.dumps({"flags": {"f": {**GOOD, "targeting": "RULE"}}}).replace('"RULE"', rule)
            assert any(said in problem.message for problem in problems(text))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("state", "variants", "defaultVariant", "targeting", "metadata", "x"), JSON)
    | {"state": st.sampled_from(["ENABLED", "DISABLED"])},
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({"flags": st.dictionaries(st.text(min_size=1, max_size=8), NEARLY | JSON, max_size=3)})
    | JSON,
    st.booleans(),
)
def test_any_json_is_either_read_or_refused_with_reasons(document: object, ascii_only: bool) -> None:
    found: list[ConfigProblem] = []
    flags: FlagSet | None = None
    try:
        flags = read_flags(json.dumps(document, ensure_ascii=ascii_only), "flags.json")
    except ConfigError as error:
        found = error.problems
    assert (flags is None) == bool(found)
    assert all(problem.message and problem.remedy and problem.line >= 0 for problem in found)
    for flag in flags.flags.values() if flags else ():
        assert kind_of(list(flag.variants.values())) is flag.kind
        assert flag.default_variant is None or flag.default_variant in flag.variants
