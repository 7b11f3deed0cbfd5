"""``logs.masks``: good expressions are taken, others are problems of the configuration with their place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config import load_config
from homeostat.core.errors import ConfigError
from homeostat.core.log_patterns import LogMask
from homeostat.observe.patterns import Masks
from homeostat.regex import regex_problem


def _load(folder: Path, mask: str) -> tuple[LogMask, ...]:
    path = folder / "homeostat.yaml"
    path.write_text(f"logs:\n  masks:\n    - name: sku\n      {mask}\n", encoding="utf-8")
    return load_config(path).logs.masks


def test_a_mask_is_read(tmp_path: Path) -> None:
    (mask,) = _load(tmp_path, "regex: 'sku-[0-9]+'")
    assert (mask.name, mask.regex, mask.service) == ("SKU", "sku-[0-9]+", "*")


@pytest.mark.parametrize(
    ("regex", "said"),
    [
        ("'sku-('", "is no regular expression \\(missing \\)"),
        ("'(?<=a)b'", "is no regular expression"),
        ("'(a{900}){900}'", "is no regular expression"),
        ("'x*'", "matches where there is nothing"),
        ("'\\b'", "matches where there is nothing"),
    ],
)
def test_an_expression_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, regex: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"homeostat.yaml:4: logs.masks.0.regex: .* {said}.*RE2"):
        _load(tmp_path, f"regex: {regex}")


def test_a_name_is_a_word(tmp_path: Path) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text("logs:\n  masks:\n    - name: a b\n      regex: x\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"homeostat.yaml:3: logs.masks.0.name"):
        load_config(path)


@given(st.text(alphabet="ab|*+?()[]{}^$.\\\\d-,1", min_size=1, max_size=12), st.text(max_size=30))
def test_an_expression_without_a_problem_can_be_used(regex: str, text: str) -> None:
    if regex_problem(regex) is None:
        assert len(Masks([LogMask(name="X", regex=regex)]).apply("shop", [text])) == 1
