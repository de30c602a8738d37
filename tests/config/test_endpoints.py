"""Addresses of other machines: by TLS, or on this machine."""

from __future__ import annotations

import pytest

from config.endpoints import refusal


@pytest.mark.parametrize(
    "url", ["https://models.example/v1", "http://127.0.0.1:8080/v1", "http://[::1]:1/v1", "http://localhost"]
)
def test_tls_and_this_machine_are_safe(url):
    assert refusal(url) == ""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://models.example/v1", "anybody on the way"),
        ("http://127.0.0.1.evil.example/v1", "anybody on the way"),
        ("http://10.0.0.7/v1", "anybody on the way"),
        ("ftp://127.0.0.1/v1", "anybody on the way"),
        ("https://user:sk-1@models.example/v1", "a key does not belong"),
        ("https://models.example/v1?key=sk-1", "write https://"),
        ("https:///v1", "write https://"),
        ("https://models.example:port/v1", "Port"),
        ("models.example", "write https://"),
    ],
)
def test_everything_else_is_refused_with_a_reason(url, why):
    assert why in refusal(url)
