"""What ``homeostat up`` says: every address once, in groups, within 80 columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.announce import WIDTH, Listening, address_of, announcement

URL = "http://127.0.0.1:4000"


def test_every_address_is_said_in_its_group_and_what_is_off_is_said_to_be_off() -> None:
    groups = (
        Listening("OTLP", (("http://127.0.0.1:4318", "HTTP"), (None, "gRPC"))),
        Listening("Zipkin", ((None, ""),)),
        Listening("Jaeger query", ((None, ""),)),
    )
    assert announcement(URL, "observe", groups) == (
        "Homeostat is ready at http://127.0.0.1:4000 (mode: observe).\n"
        "  OTLP           http://127.0.0.1:4318 (HTTP)\n"
        "  off            Zipkin, Jaeger query"
    )


@given(st.lists(st.lists(st.text("abc:/0123.", min_size=1, max_size=60), max_size=8), min_size=1, max_size=8))
def test_no_address_is_lost_and_lines_stay_within_80_columns(given: list[list[str]]) -> None:
    groups = [Listening(f"g{place}", [(text, "") for text in texts]) for place, texts in enumerate(given)]
    text = announcement(URL, "auto", groups)
    assert max(map(len, text.splitlines()[1:]), default=0) <= WIDTH
    words = text.split()
    for address in (address for texts in given for address in texts):
        words.remove(address)


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [("127.0.0.1", 9411, "http://127.0.0.1:9411"), ("::1", 9411, "http://[::1]:9411"), ("::1", None, None)],
)
def test_an_address_is_a_url_also_for_ipv6(host: str, port: int | None, address: str | None) -> None:
    assert address_of(host, port, "http") == address
