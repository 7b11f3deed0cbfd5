"""The reading steps: real work, and a cache that saves it."""

import time

from homeostat.world.catalog import Catalog, is_read_step
from support.world_clock import HandClock


def test_the_three_steps_that_read_are_known() -> None:
    assert [
        name for name in ("Browse Products", "Account Overview", "Transaction History") if is_read_step(name)
    ] == [
        "Browse Products",
        "Account Overview",
        "Transaction History",
    ]
    assert not any(is_read_step(name) for name in ("Payment", "Login", "Add to Cart", "Transfer Funds"))


def test_a_cached_answer_is_the_same_and_at_least_ten_times_cheaper() -> None:
    catalog = Catalog("ProductCatalog", 7, 10.0, HandClock())
    first = catalog.look_up("browse-products", "1", use_cache=True)
    assert first.source == "miss"
    assert first.rows > 0

    def cost(*, use_cache: bool) -> float:
        began = time.process_time()
        for _ in range(20):
            assert catalog.look_up("browse-products", "1", use_cache=use_cache).rows == first.rows
        return time.process_time() - began

    assert cost(use_cache=False) > 10 * cost(use_cache=True)


def test_without_the_cache_every_answer_is_worked_out() -> None:
    catalog = Catalog("ProductCatalog", 7, 10.0, HandClock())
    assert [catalog.look_up("browse", "1", use_cache=False).source for _ in range(3)] == ["off"] * 3


def test_a_cached_answer_is_forgotten_after_its_time() -> None:
    clock = HandClock()
    catalog = Catalog("ProductCatalog", 7, 10.0, clock)
    sources = [catalog.look_up("browse", "1", use_cache=True).source for _ in range(2)]
    clock.pass_s(10.1)
    sources.append(catalog.look_up("browse", "1", use_cache=True).source)
    assert sources == ["miss", "hit", "miss"]
