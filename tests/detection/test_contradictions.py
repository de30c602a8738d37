"""The ranking of contradictions: whose word weighs what, and that the same night gives the same ten."""

from __future__ import annotations

import random

from detection import contradictions
from detection.contradictions import Clash, ContradictionPolicy, Side

POLICY = ContradictionPolicy()


def clash(shape: str, side: Side = Side.EXPERTS, strength: float = 1.0, item: int = 1) -> Clash:
    return Clash(shape, side, strength, item, {})


def test_sides_add_up_and_the_strongest_of_each_counts():
    found = contradictions.rank(
        [
            clash("a", Side.EXPERTS, 0.5),
            clash("a", Side.EXPERTS, 0.2),
            clash("a", Side.CUSTOMERS, 1.0, item=7),
            clash("b", Side.RULES, 1.0),
        ],
        POLICY,
    )
    assert [one.shape for one in found] == ["a", "b"]
    assert found[0].strength == 0.5 * POLICY.experts + POLICY.customers
    assert [one.side for one in found[0].clashes] == [Side.CUSTOMERS, Side.EXPERTS]
    assert found[0].clashes[0].item == 7


def test_ten_a_day_in_an_order_that_does_not_depend_on_what_comes_first():
    clashes = [clash(f"{number:02d}", strength=(number % 7) / 7, item=number) for number in range(40)]
    found = contradictions.rank(clashes, POLICY)
    assert len(found) == POLICY.per_day
    random.Random(1).shuffle(clashes)
    assert contradictions.rank(clashes, POLICY) == found


def test_balance_is_one_when_both_answers_are_as_frequent():
    assert contradictions.balance(5, 5) == 1.0
    assert contradictions.balance(1, 19) == 0.1
    assert contradictions.balance(0, 0) == 0.0
