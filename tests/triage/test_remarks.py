"""What became of a file is told in the language of whoever reads it, not of who filed it."""

from __future__ import annotations

import string

import pytest
from django.urls import reverse
from django.utils import translation

from detection.evidence_remarks import SENTENCES, Remark
from detection.texts import storable
from tests import factories
from tests.triage.test_complaint import RECORD
from triage.models import Attachment, remarks
from triage.services import filing
from triage.services.filing import Details


def test_every_sentence_can_be_told_in_both_languages_with_the_same_values():
    for code, sentence in SENTENCES.items():
        names = {name for _text, name, _spec, _conversion in string.Formatter().parse(sentence) if name}
        values = {name: 1_000 if f"{{{name}:," in sentence else f"<{name}>" for name in names}
        for language in ("en", "ru"):
            with translation.override(language):
                told = remarks.told(remarks.kept([Remark(code, values)]))
            assert all(f"<{name}>" in told for name in names if values[name] != 1_000), code
            assert (told == sentence.format(**values)) is (language == "en" or sentence == "{error}"), code


SAID = (
    ("en", 1, "1 session"),
    ("en", 2, "2 sessions"),
    ("ru", 1, "1 сессия"),
    ("ru", 2, "2 сессии"),
    ("ru", 5, "5 сессий"),
)


@pytest.mark.parametrize(("language", "number", "said"), SAID)
def test_numbers_stand_with_their_nouns_in_the_right_form(language, number, said):
    with translation.override(language):
        assert remarks.told(remarks.kept([Remark("sessions", {"n": number})])) == said


def test_a_code_that_nobody_knows_is_shown_as_it_is():
    assert remarks.told([["sessions", {"n": 2}], ["of-another-release", {"x": 1}]]) == "2 sessions · of-another-release"


@pytest.mark.django_db
def test_a_colleague_reads_in_russian_what_was_filed_in_english(support, support_client):
    customer = factories.make_customer()
    log = f"{RECORD}\nnot a record\n".encode()
    mail = b"From: soc@acme.example\nTo: us@etalon.example\nSubject: =?utf-8?q?a=00b?=\n\nhi"
    files = (("log.json", log), ("a.exe", b"MZ\0"), ("mail.eml", mail))
    with translation.override("en"):
        complaint = filing.file(customer, "x", "x", support, Details(files=files))
    shown = {}
    for language in ("en", "ru"):
        type(support).objects.update(language=language)
        shown[language] = support_client.get(reverse("triage:complaint", args=[complaint.pk])).text
    assert "1 session · 1 line passed over" in shown["en"]
    assert "1 сессия · пропущена 1 строка" in shown["ru"]
    assert "a Windows program: expected a kit" in shown["en"]
    assert "программа Windows" in shown["ru"]
    assert "Windows program" not in shown["ru"]
    kept = Attachment.objects.order_by("id")
    assert [one.remarks[0][0] for one in kept] == ["sessions", "not-evidence", "mail-of"]
    assert all(storable(str(one.remarks)) == str(one.remarks) for one in kept)


@pytest.mark.django_db
def test_words_from_before_there_were_codes_stay_as_they_were(support_client):
    file = factories.make_attachment(written="2 сессии")
    page = support_client.get(reverse("triage:complaint", args=[file.complaint_id])).text
    assert "2 сессии" in page
