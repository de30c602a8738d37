"""A score told by a customer is compared to as many digits as he told."""

from __future__ import annotations

import pytest

from triage.services.reproduction import same_score, score_told


@pytest.mark.parametrize(
    ("told", "found", "same"),
    [
        ("0.93", 0.9312, True),
        ("0,93", 0.9312, True),
        ("0.93", 0.9363, False),
        ("0.9312", 0.9312, True),
        ("0.931", 0.9312, True),
        ("1", 0.9312, True),
        ("0.930", 0.9312, False),
        ("93 %", 0.93, False),
        ("NaN", 0.5, False),
    ],
)
def test_as_many_digits_as_were_told(told, found, same):
    assert same_score(told, found) is same


@pytest.mark.parametrize("text", ["", "-0.1", "1.1", "much", "inf", "1e-900", "0x1", "NaN"])
def test_what_is_no_score(text):
    assert score_told(text) is None
