"""A child never inherits a connection that somebody still uses."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from accounts.models import User
from tests.factories import make_user
from tests.processes import at_once, fork

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_waits_for_what_a_thread_still_asks():
    opened, over = threading.Event(), threading.Event()

    def ask():
        User.objects.count()
        opened.set()
        over.wait(0.5)
        connections.close_all()
        over.set()

    threading.Thread(target=ask).start()
    assert opened.wait(10)
    child = fork(make_user)
    assert over.is_set() or connections["default"].vendor != "sqlite"
    child.join(60)
    assert (child.exitcode, User.objects.count()) == (0, 1)


def test_what_children_say_comes_in_the_order_of_the_calls():
    assert at_once(int, [("7",), ("x",), ("9",)]) == [
        7,
        repr(ValueError("invalid literal for int() with base 10: 'x'")),
        9,
    ]
