from __future__ import annotations

import pytest
from django.urls import reverse

from detection.filters import FilterError
from labeling.models import SavedHunt
from labeling.services import saved_hunts
from tests.factories import make_saved_hunt, make_user

pytestmark = pytest.mark.django_db


def save(client, **fields):
    return client.post(reverse("labeling:save-hunt"), {"q": "dst.port == 80", "name": "plain"} | fields, follow=True)


def test_a_hunt_is_saved_with_all_it_asks_and_has_an_address(expert_client, expert):
    page = save(expert_client, days="7", group="dst.dns", is_shared="true")
    saved = SavedHunt.objects.get()
    assert (saved.owner, saved.text, saved.days, saved.group, saved.is_shared) == (
        expert, "dst.port == 80", "7", "dst.dns", True,
    )  # fmt: skip
    assert page.request["QUERY_STRING"] == f"q=dst.port+%3D%3D+80&days=7&group=dst.dns&saved={saved.pk}"
    assert f"/hunt/saved/{saved.pk}/" in page.text
    save(expert_client, q="dst.port == 443")
    assert SavedHunt.objects.get().text == "dst.port == 443"


def test_what_cannot_be_asked_is_not_saved(expert_client, expert):
    assert "there is no field" in save(expert_client, q="prt == 1").text
    assert "Give it a name" in save(expert_client, name=" ").text
    assert "nothing to group by" in save(expert_client, group="nothing").text
    assert not SavedHunt.objects.exists()
    with pytest.raises(FilterError):
        saved_hunts.save(expert, "x", "(")


def test_colleagues_see_what_is_shared_and_only_owners_forget(expert_client, expert):
    mine, shared, _private = (
        make_saved_hunt(owner=expert), make_saved_hunt(is_shared=True), make_saved_hunt(text="dst.port == 4711")
    )  # fmt: skip
    page = expert_client.get(reverse("labeling:hunt")).text
    assert mine.name in page
    assert shared.name in page
    assert "4711" not in page
    assert expert_client.post(reverse("labeling:forget-hunt", args=[shared.pk])).status_code == 404
    expert_client.post(reverse("labeling:forget-hunt", args=[mine.pk]))
    assert saved_hunts.known_to(expert) == [shared]


def test_one_person_keeps_a_hundred(expert, monkeypatch):
    monkeypatch.setattr(saved_hunts, "MOST", 1)
    saved_hunts.save(expert, "a", "")
    saved_hunts.save(expert, "a", "dst.port == 1")
    with pytest.raises(saved_hunts.SavingRefused):
        saved_hunts.save(expert, "b", "")
    saved_hunts.save(make_user(), "b", "")
