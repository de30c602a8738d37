"""The accounts of the demo: one per role, a second expert, and colleagues nobody signs in as."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from accounts.models import User
from accounts.roles import Role
from accounts.services import users
from triage.services import served

SECOND_EXPERT = "expert2"  # two people make a reference row
COLLEAGUES = ("simulated1", "simulated2")  # who answers by itself is called so wherever a name is shown


def make_people(show: Callable[[str, str], None] | None = None) -> dict[str, User]:
    """Return the demo's accounts by name: every role, and `expert2`. Those that are missing are made, all or none.

    `show` gets name and password of each account made: nobody can read them again."""
    made = []
    people = {}
    with transaction.atomic():
        for name, role in [(role.value, role) for role in Role] + [(SECOND_EXPERT, Role.EXPERT)]:
            user = User.objects.filter(username=name).first()
            if user is None:
                user, password = users.make_user(name, role)
                if role is Role.SUPPORT:
                    served.serve(user, None)
                made.append((name, password))
            people[name] = user
    if show is not None:
        for name, password in made:
            show(name, password)
    return people


@transaction.atomic
def make_colleagues() -> list[User]:
    """Return the experts that the demo plays itself. They have no password: nobody can sign in as them."""
    return [_colleague(name) for name in COLLEAGUES]


def _colleague(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        user, _password = users.make_user(name, Role.EXPERT)
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user
