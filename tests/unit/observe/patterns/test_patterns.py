"""Patterns: names for what varies, the same answer each time, counts that are right, and an end to the work."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.log_patterns import LogMask, LogPatterns
from homeostat.core.logs import LogCount, LogPage, LogQuery, LogRecord, LogTable
from homeostat.observe.patterns import Masks, PatternFinder
from homeostat.observe.patterns.tree import BUDGET, templates_of
from support.spans import NOON, NOON_S


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("order 17 took 3.5ms", "order <NUM> took <DURATION>"),
        ("waited 1m30s and 20 seconds", "waited <DURATION> and <DURATION>"),
        ("2026-03-01T12:00:00.123Z started", "<TIMESTAMP> started"),
        ("2026/03/01 12:00:00 started", "<TIMESTAMP> started"),
        ("[01/Mar/2026:12:00:00 +0100] GET", "[<TIMESTAMP>] GET"),
        ("Mar  1 12:00:00 host sshd", "<TIMESTAMP> host sshd"),
        ("id 123e4567-e89b-12d3-a456-426614174000.", "id <UUID>."),
        ("from 10.0.0.1:5432 and 10.1.0.0/16", "from <IP> and <IP>"),
        ("from [fe80::1ff:fe23:4567:890a]", "from [<IP>]"),
        ("at 0xDEADBEEF, commit 9fceb02d0ae598e9", "at <HEX>, commit <HEX>"),
        ("account 12345678", "account <NUM>"),
        ("open /var/log/a-1.log failed", "open <PATH> failed"),
        ('read "C:\\temp\\x.txt"', 'read "<PATH>"'),
        ("GET /health", "GET /health"),
        ("GET https://shop.example/a?b=1 200", "GET <URL> <NUM>"),
        ("std::bad_alloc in user42", "std::bad_alloc in user42"),
        ("", ""),
    ],
)
def test_variable_parts_have_names(text: str, masked: str) -> None:
    assert Masks().apply("any", [text]) == [masked]


def test_masks_of_a_service_go_before_the_built_in_ones_and_stay_with_it() -> None:
    masks = Masks([LogMask(name="order", regex=r"ord-[0-9a-z]+", service="pay*"), LogMask(name="ANY", regex="zz+")])
    assert masks.apply("payment", ["ord-17 zzz"]) == ["<ORDER> <ANY>"]
    assert masks.apply("shop", ["ord-17 zzz"]) == ["ord-<NUM> <ANY>"]


@given(st.text(max_size=200))
def test_masking_loses_no_letter_beyond_what_it_names(text: str) -> None:
    (masked,) = Masks().apply("any", [text])
    parts = re.split(r"<(?:NUM|HEX|UUID|IP|PATH|URL|DURATION|TIMESTAMP)>", masked)
    assert re.fullmatch("(?s)" + ".*?".join(re.escape(part) for part in parts), text)


WORDS = st.lists(st.sampled_from(["pay", "order", "failed", "retry", "a1", "<NUM>", "<*>"]), max_size=6).map(" ".join)


@given(st.lists(WORDS, max_size=40))
def test_a_template_fits_each_of_its_texts(texts: list[str]) -> None:
    templates, _ = templates_of(texts, BUDGET)
    assert len(templates) == len(texts)
    for text, template in zip(texts, templates, strict=True):
        pairs = list(zip(template.split(), text.split(), strict=True))
        assert all(word in {"<*>", said} for word, said in pairs)
    assert templates == templates_of(texts, BUDGET)[0]


def test_what_is_opposite_is_not_one_pattern() -> None:
    assert templates_of(["connection opened", "connection closed"], BUDGET)[0] == [
        "connection opened",
        "connection closed",
    ]
    assert templates_of(["user ann has come", "user bob has come"], BUDGET)[0] == [
        "user <*> has come",
        "user <*> has come",
    ]


def test_texts_that_all_differ_come_to_an_end() -> None:
    texts = [
        f"w{chr(97 + n % 26)}{'x' * (n // 26)} " + " ".join(f"{c}{n}q" for c in "abcdefgh") for n in range(5_000)
    ]
    templates, left = templates_of(texts, 100_000)
    assert left == 0
    assert 0 < len(templates) < len(texts)


class Records:
    """A log store made of a list, newest first."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self.records = sorted(records, key=lambda record: record.time_unix_nano, reverse=True)

    def _of(self, query: LogQuery) -> list[LogRecord]:
        return [record for record in self.records if query.start <= record.time < query.end]

    async def logs(self, query: LogQuery) -> LogPage:
        raise AssertionError(query)

    async def log_counts(self, query: LogQuery, step_s: int) -> list[LogCount]:
        steps = -(-int((query.end - query.start).total_seconds()) // step_s)
        counts = [0] * steps
        for record in self._of(query):
            counts[int((record.time - query.start).total_seconds()) // step_s] += 1
        return [
            LogCount(start_s=int(query.start.timestamp()) + number * step_s, counts={"info": count} if count else {})
            for number, count in enumerate(counts)
        ]

    async def export(self, query: LogQuery) -> AsyncIterator[LogTable]:
        found = self._of(query)
        for begin in range(0, len(found), 700):
            yield _table(found[begin : begin + 700])


def _table(records: Sequence[LogRecord]) -> pa.Table:
    rows = [record.model_dump() for record in records]
    columns = {
        name: [row[name] for row in rows] for name in rows[0] if name not in {"time", "attributes", "resource"}
    }
    maps = pa.array([list(row["attributes"].items()) for row in rows], pa.map_(pa.string(), pa.string()))
    return pa.table({**columns, "attributes": maps, "resource": [json.dumps(row["resource"]) for row in rows]})


def record(body: str, at: float, *, severity: str = "info", service: str = "shop", event: str = "") -> LogRecord:
    return LogRecord(
        id=f"{at:020.6f}",
        time=NOON + timedelta(seconds=at),
        time_unix_nano=NOON_S * 10**9 + round(at * 1e9),
        severity_number=9,
        severity=severity,
        service=service,
        body=body,
        event_name=event,
    )


async def find(
    records: Sequence[LogRecord], *, sample: int = 20_000, minutes: int = 15, budget: int = BUDGET
) -> LogPatterns:
    query = LogQuery(start=NOON - timedelta(minutes=minutes), end=NOON)
    return await PatternFinder(budget=budget).find(Records(records), query, sample=sample, limit=100)


async def test_counts_are_exact_while_everything_is_read() -> None:
    said = [record(f"order {n}", -1 - n) for n in range(50)] + [record("order 1", -1000 - n) for n in range(5)]
    found = await find([*said, record("bye", -2, severity="error", service="bank")])
    assert [(p.service, p.template, p.count, p.previous_count, p.is_new) for p in found.patterns] == [
        ("shop", "order <NUM>", 50, 5, False),
        ("bank", "bye", 1, 0, True),
    ]
    assert found.patterns[0].share == pytest.approx(50 / 51)
    assert found.patterns[0].first_seen == NOON - timedelta(seconds=1004)
    assert found.patterns[0].timeline[-1] == 15  # of the last 15 s
    assert found.notes == ()


async def test_without_a_time_before_nothing_is_called_new() -> None:
    found = await find([record("hello", -5)])
    assert [(p.is_new, p.change) for p in found.patterns] == [(None, None)]
    assert "cannot be told" in found.notes[0]


async def test_what_vanished_is_no_pattern_of_now() -> None:
    found = await find([record("gone", -1000), record("here", -1)])
    assert [p.template for p in found.patterns] == ["here"]


async def test_a_sample_is_spread_over_the_time_and_counts_estimate_the_truth() -> None:
    burst = [record(f"burst {n}", -1 - n / 1000) for n in range(8_000)]
    steady = [record(f"steady {n} of us", -1 - n * 0.44) for n in range(2_000)]
    found = await find(burst + steady, sample=1_000)
    counts = {p.template: p.count for p in found.patterns}
    assert found.sampled
    assert found.records_total == 10_000
    assert found.records_read <= 1_060
    assert counts["burst <NUM>"] == pytest.approx(8_000, rel=0.05)
    assert counts["steady <NUM> of us"] == pytest.approx(2_000, rel=0.15)
    assert "of 10,000 records" in found.notes[0]


async def test_of_many_lines_the_first_counts_and_an_event_says_its_name() -> None:
    said = [record(f"\n  Boom {n}\n  at line {n}\n" + "more\n" * n, -n) for n in range(1, 4)]
    found = await find([*said, record("", -1, event="user.login"), record("", -2)])
    assert {p.template: p.count for p in found.patterns} == {"Boom <NUM>": 3, "user.login": 1, "(no text)": 1}


async def test_colours_of_a_terminal_are_no_part_of_a_pattern_but_of_the_record() -> None:
    said = [record(f"\x1b[1;31mERROR\x1b[0m \x1b[36mapi\x1b[39m took {n}ms", -n) for n in range(1, 4)]
    title = record("\x1b]0;title\x07\x1b(Bready", -9)
    found = await find([*said, title])
    assert {p.template: p.count for p in found.patterns} == {"ERROR api took <DURATION>": 3, "ready": 1}
    assert found.patterns[0].examples[0].body.startswith("\x1b[1;31mERROR")


async def test_what_there_is_no_budget_for_is_left_out_and_said() -> None:
    said = [record("it " + " ".join(f"{c}{'x' * n}" for c in "qwertzu"), -n / 10 - 1) for n in range(90)]
    found = await find(said, budget=2_000)
    assert sum(p.count for p in found.patterns) < 90
    assert "logs.masks" in found.notes[-1]


SAID = st.lists(
    st.tuples(st.sampled_from(["a 1", "a 2", "b c", "<NUM>", "[/x] é", "\x00"]), st.integers(-1799, -1)), max_size=30
)


@settings(max_examples=50)
@given(SAID)
async def test_every_record_is_in_one_pattern_and_the_order_does_not_matter(said: list[tuple[str, int]]) -> None:
    records = [record(text, at) for text, at in said]
    found, again = await find(records), await find(records[::-1])
    assert [p.model_dump(exclude={"examples"}) for p in found.patterns] == [
        p.model_dump(exclude={"examples"}) for p in again.patterns
    ]
    assert sum(p.count for p in found.patterns) == sum(at >= -900 for _, at in said)
    assert all(sum(p.timeline) == p.count == sum(p.severities.values()) for p in found.patterns)


def _plainly(texts: Sequence[str]) -> list[str]:
    """Drain word by word, as the paper tells it: what the arrays must come to as well."""
    leaves: dict[tuple[int, str], list[list[str]]] = {}
    found: list[list[str]] = []
    for text in texts:
        words = text.split()
        first = words[0] if len(words) > 1 else ""
        group = {key[1] for key in leaves if key[0] == len(words)}
        place = first if first in group else "<*>"
        best, rank = None, (-1.0, -1)
        for template in leaves.get((len(words), place), []):
            shared = sum(a == b != "<*>" for a, b in zip(template, words, strict=True))
            its_rank = (shared / len(words) if words else 1.0, template.count("<*>"))
            if its_rank > rank:
                best, rank = template, its_rank
        if best is None or rank[0] < 0.6:
            if first not in group and (any(map(str.isdigit, first)) or len(group) + ("<*>" not in group) >= 100):
                first = "<*>"
            best = words
            leaves.setdefault((len(words), first), []).append(best)
        else:
            best[:] = [a if a == b else "<*>" for a, b in zip(best, words, strict=True)]
        found.append(best)
    return [" ".join(template) for template in found]


MANY_WORDS = st.sampled_from(
    ["pay", "order", "failed", "retry", "a1", "<NUM>", "<*>", *(f"w{'x' * n}" for n in range(120))]
)


@given(st.lists(st.lists(MANY_WORDS, max_size=6).map(" ".join), max_size=200), st.integers(0, 130))
@settings(deadline=None)
def test_templates_are_those_of_drain_word_by_word(texts: list[str], firsts: int) -> None:
    texts = [*(f"w{'y' * n} x" for n in range(firsts)), *texts]  # more first words than a level holds
    assert templates_of(texts, BUDGET)[0] == _plainly(texts)
