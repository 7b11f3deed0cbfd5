"""The address of the dashboard that alerts carry."""

from urllib.parse import urlsplit

import pytest

from homeostat.core.config import Config
from homeostat.correlation import dashboard_url
from homeostat.net import in_address


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ({}, "http://127.0.0.1:4000"),
        ({"host": "::1"}, "http://[::1]:4000"),
        ({"host": "fd00::7", "port": 80}, "http://[fd00::7]:80"),
        ({"host": "::"}, "http://localhost:4000"),
        ({"host": "0.0.0.0", "allowed_hosts": ["shop.example"]}, "http://shop.example:4000"),
        ({"host": "::", "allowed_hosts": ["2001:db8::1"]}, "http://[2001:db8::1]:4000"),
        ({"port": 0}, None),
    ],
)
def test_alerts_point_to_an_address_that_can_be_opened(server: dict[str, object], url: str | None) -> None:
    found = dashboard_url(Config.model_validate({"server": server}))
    assert found == url
    if found is not None:
        assert urlsplit(found).port is not None


def test_a_host_in_brackets_gets_no_second_pair() -> None:
    assert in_address("[::1]") == "[::1]"
