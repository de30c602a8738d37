"""The language in which people ask stored traffic: text → tree → predicate → parametrised SQL.

    src.ip in 10.0.0.0/8 and (http.url ~ "*../*" or rule.sid == 2019401) and model("http-attacks:3").score >= 0.7

Every test is true or false, never unknown: a missing value equals nothing, is unequal to everything, and is neither
smaller nor larger; so `a != b` is exactly `not a == b`. A list of rule hits passes a test when one of them does.
"""

from detection.filters.bind import Names, Version, Voice, bind
from detection.filters.errors import FilterError
from detection.filters.fields import FIELDS, Field
from detection.filters.narrow import Narrowed, narrow
from detection.filters.parse import parse, quoted
from detection.filters.predicates import Predicate
from detection.filters.sql import Question, compile_sql

__all__ = [
    "FIELDS",
    "Field",
    "FilterError",
    "Names",
    "Narrowed",
    "Predicate",
    "Question",
    "Version",
    "Voice",
    "bind",
    "compile_sql",
    "narrow",
    "parse",
    "quoted",
]
