"""`python -m appliance VERB`: what an operator at the customer does by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from appliance import kit

VERBS = {"kit": kit}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m appliance", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, verb in VERBS.items():
        verb.add_arguments(verbs.add_parser(name))
    options = parser.parse_args(arguments)
    return int(VERBS[options.verb].run(options))


if __name__ == "__main__":
    sys.exit(main())
