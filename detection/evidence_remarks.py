"""What is said of evidence, as a code and its values: whoever reads it reads it in their own language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def _(text: str) -> str:
    """Mark a sentence that people read: pages translate it."""
    return text


SENTENCES = {
    # refused: the rows of docs/formats/evidence.md, where one has several reasons each of them
    "too-large": _("{size:,} bytes, at most {most:,} are taken"),
    "not-evidence": _("{name}: expected a kit, EVE or Zeek records, a capture, a HAR or a request"),
    "gzip-in-gzip": _("a gzip file inside a gzip file: pack it once"),
    "binary": _("binary data of no known kind"),
    "gzip-damaged": _("the gzip file is damaged ({error})"),
    "gzip-ends": _("the gzip file ends in the middle"),
    "json-torn": _("the JSON cannot be read ({error}): send the whole file"),
    "json-unreadable": _("the JSON cannot be read ({error})"),
    "unpacks-too-far": _("unpacks to more than {limit:,} bytes ({times} times its size)"),
    "empty": _("nothing is in it"),
    "too-deep": _("nested deeper than {most} levels"),
    "no-session": _("no http or tls session in it ({error})"),
    "empty-list": _("a list without records or numbers"),
    "zeek-without": _("a Zeek log of {kind}, without http or ssl sessions"),
    "har-without": _("a HAR without usable requests"),
    "capture-without": _("the capture holds no http or tls session"),
    "words": _("expected a kit, records, or a URL with its headers: these are words"),
    "unusable-request": "{error}",
    "bad-vector": "{error}",
    "bad-kit": "{error}",
    "suricata": "{error}",
    "mail-without-from": _("no saved mail: it has no From"),
    "no-mail": _("the mail cannot be read ({error})"),
    "too-many-parts": _("{parts} parts, at most {most} are taken"),
    "too-many": _("more than {most} files"),
    # read
    "first-alone": _("only the first {most} sessions were tried"),
    "mail-of": _("mail of {sender}: {subject}"),
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One of SENTENCES, or a number of something, and what fills it in."""

    code: str
    values: Mapping[str, str | int] = field(default_factory=dict)

    def told(self, say: Callable[[str], str] = str) -> str:
        """Return it in the language that `say` translates sentences and names to."""
        values = {name: say(str(value)) if name == "name" else value for name, value in self.values.items()}
        return say(SENTENCES[self.code]).format(**values)

    def __str__(self) -> str:
        return self.told()
