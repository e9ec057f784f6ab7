from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from edgesplit.operate.places import Places


def test_places_run_out_and_come_free() -> None:
    places = Places(2)
    assert places.take(0)
    assert places.take(0)
    assert not places.take(0)
    places.free()
    assert places.take(0)


def test_a_smaller_limit_waits_for_what_is_taken_and_a_larger_one_lets_in_at_once() -> None:
    places = Places(3)
    assert all(places.take(0) for _ in range(3))
    places.resize(1)
    places.free()
    places.free()
    assert not places.take(0)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(places.take, 60.0) for _ in range(2)]
        places.resize(3)
        assert all(each.result() for each in waiting)
    assert not places.take(0)
