"""Words that support sends, in the languages customers read. Filled in by what the complaint knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triage.models import Complaint, ComplaintState, Incident, State


@dataclass(frozen=True, slots=True)
class Template:
    """One text in every language, with the states in which it is offered."""

    name: str
    states: tuple[State, ...]
    title: dict[str, str]
    text: dict[str, str]


ASKING = (State.RECEIVED, State.REPRODUCED, State.NEEDS_INFORMATION)
TEMPLATES = (
    Template(
        "ask-evidence",
        ASKING,
        {"en": "Ask for evidence", "ru": "Запросить материалы"},
        {
            "en": "We received {number}. To reproduce the verdict we need one of these: a kit (python -m appliance "
            "kit), the EVE or Zeek record, a capture, a HAR file, or the URL with its headers. The 24 hours rest "
            "until then.",
            "ru": "Мы получили обращение {number}. Чтобы воспроизвести вердикт, пришлите что-то одно: набор "
            "(python -m appliance kit), запись EVE или Zeek, дамп трафика, файл HAR либо URL с заголовками. До ответа "
            "отсчёт 24 часов приостановлен.",
        },
    ),
    Template(
        "ask-consent",
        ASKING,
        {"en": "Ask for the record or its text fields", "ru": "Запросить запись или её текстовые поля"},
        {
            "en": "{number} is reproduced from the features you sent. To confirm that it is a false positive an expert "
            "must see the session: please send the record, or with --consent text its text fields without addresses.",
            "ru": "Вердикт по обращению {number} воспроизведён по присланным признакам. Чтобы подтвердить ложное "
            "срабатывание, эксперту нужна сама сессия: пришлите запись или, с ключом --consent text, её текстовые "
            "поля без адресов.",
        },
    ),
    Template(
        "fixed",
        (State.PUBLISHED,),
        {"en": "Fixed and published", "ru": "Исправлено и опубликовано"},
        {
            "en": "{number} was a false positive. It is fixed in bundle {bundle}, which is published to your channel.",
            "ru": "По обращению {number} подтверждено ложное срабатывание. Оно исправлено в сборке {bundle}, "
            "которая опубликована в вашем канале.",
        },
    ),
    Template(
        "rejected",
        (State.REJECTED,),
        {"en": "Not a false positive", "ru": "Не ложное срабатывание"},
        {
            "en": "An expert looked at {number}: the verdict is right. Reason: {reason}",
            "ru": "Эксперт проверил обращение {number}: вердикт верен. Причина: {reason}",
        },
    ),
)


def offered(complaint: Complaint, steps: Sequence[ComplaintState]) -> list[dict[str, str]]:
    """Return the texts that fit the state of a complaint, filled in by the steps it went."""
    facts = _facts(complaint, steps)
    return [
        {"name": one.name, "language": language, "title": one.title[language], "text": text.format_map(facts)}
        for one in TEMPLATES
        if complaint.state in one.states
        for language, text in one.text.items()
    ]


def filled(name: str, language: str, complaint: Complaint) -> str:
    """Return one text, filled in; the English one where a language has none."""
    template = next(one for one in TEMPLATES if one.name == name)
    steps = list(complaint.states.select_related("bundle"))
    return template.text.get(language, template.text["en"]).format_map(_facts(complaint, steps))


KIT_WANTED = {
    "en": "The counts of your site show that the model {version} behaves differently since {since}. To find out why we "
    "need one or more sessions that it flagged: python -m appliance kit writes them; with --consent nothing but what "
    "you agree to leaves. Our reference: {number}.",
    "ru": "По счётчикам вашей площадки модель {version} с {since} ведёт себя иначе. Чтобы выяснить причину, нужна одна "
    "или несколько отмеченных ею сессий: их запишет python -m appliance kit; с ключом --consent уйдёт только то, на "
    "что вы согласны. Наш номер: {number}.",
}


def asking_for_kit(incident: Incident) -> list[dict[str, str]]:
    """Return the letter by which support asks the customer of an incident for a kit, in every language."""
    facts = {"version": str(incident.version), "since": str(incident.since), "number": incident.number}
    return [{"language": language, "text": text.format_map(facts)} for language, text in KIT_WANTED.items()]


def _facts(complaint: Complaint, steps: Sequence[ComplaintState]) -> dict[str, str]:
    bundle = next((step.bundle for step in reversed(steps) if step.bundle), None)
    rejected = next((step.reason for step in reversed(steps) if step.state == State.REJECTED), "")
    return {"number": complaint.number, "bundle": str(bundle or "–"), "reason": rejected}
