"""The catalogues of `locale/`, in plain Python: `python -m tests.messages` collects what pages say and compiles it.

Nobody needs gettext installed for that: Django reads templates, Babel the rest. What a language does not say yet is
left empty and printed; a guess is never kept ("fuzzy")."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_python
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("ru",)
ROOMS = ("accounts", "appliance", "config", "detection", "jobs", "labeling", "models_registry", "traffic", "triage")
KEYWORDS = {
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "_": None,
}


def collected() -> Catalog:
    """Return everything that code and templates say, without translations."""
    catalog = Catalog()
    for path in _sources():
        for message, context in _messages(path):
            catalog.add(message, context=context)
    return catalog


def _sources() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted(path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts)
    yield from sorted((ROOT / "templates").rglob("*.html"))


def _messages(path: Path) -> Iterator[tuple[str | tuple[str, ...], str | None]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        # the rest of a template becomes letters without meaning: keep its indentation from meaning anything
        text = "\n".join(line.lstrip() for line in templatize(text, origin=str(path)).splitlines())
    for _line, function, arguments, _comments in extract_python(io.BytesIO(text.encode()), list(KEYWORDS), [], {}):
        given = [text for text in (arguments if isinstance(arguments, tuple) else (arguments,)) if text]
        context = given.pop(0) if "pgettext" in str(function) else None
        if given:
            yield (
                (tuple(given[:2]) if "ngettext" in str(function) or "npgettext" in str(function) else given[0]),
                context,
            )


def folder(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES"


def catalogue(language: str) -> Catalog:
    """Return what is written in a language."""
    path = folder(language) / "django.po"
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def updated(language: str) -> Catalog:
    """Return the catalogue as it has to be: all that is said, with the translations there are, and nothing else."""
    known = catalogue(language)
    renewed = Catalog(locale=language, project="Etalon", fuzzy=False)
    for message in collected():
        if not message.id:
            continue
        old = known.get(message.id, message.context)
        string = old.string if old is not None and not old.fuzzy else None
        renewed.add(message.id, string, flags=message.flags, context=message.context)
    return renewed


def as_po(catalog: Catalog) -> bytes:
    """Return the text of a catalogue: sorted and without places, so that two branches seldom meet in a line."""
    file = io.BytesIO()
    write_po(file, catalog, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True)
    return _HEADER.format(language=catalog.locale, plurals=catalog.plural_forms).encode() + file.getvalue()


_HEADER = """msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"

"""


def as_mo(language: str) -> bytes:
    """Return what Django reads, of what is written."""
    known = catalogue(language)
    plain = Catalog(locale=language, fuzzy=False, header_comment="")
    for message in known:
        if message.id and message.string:
            plain.add(message.id, message.string, flags=message.flags, context=message.context)
    file = io.BytesIO()
    write_mo(file, plain)
    return _without_dates(file.getvalue())


def _without_dates(compiled: bytes) -> bytes:
    """Blank the moment of compiling, in place: the same catalogue is the same bytes."""
    lines = compiled.split(b"\n")
    return b"\n".join(
        line[: line.index(b":") + 1].ljust(len(line))
        if line.startswith((b"POT-Creation-Date:", b"PO-Revision-Date:"))
        else line
        for line in lines
    )


def empty(language: str) -> list[str]:
    """Return what the language does not say, or says in fewer forms than it has."""
    known = catalogue(language)
    return [
        str(message.id)
        for message in known
        if message.id and not all(message.string if isinstance(message.string, tuple) else (message.string,))
    ]


def main() -> None:
    for language in LANGUAGES:
        folder(language).mkdir(parents=True, exist_ok=True)
        (folder(language) / "django.po").write_bytes(as_po(updated(language)))
        (folder(language) / "django.mo").write_bytes(as_mo(language))
        missing = empty(language)
        sys.stdout.write(f"{language}: {len(missing)} of {len(catalogue(language))} messages are not translated\n")
        sys.stdout.write("".join(f"  {text}\n" for text in missing))


if __name__ == "__main__":
    main()
