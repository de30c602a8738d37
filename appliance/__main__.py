"""`python -m appliance VERB`: what an operator at the customer does by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance import kit
from appliance.verbs import VERBS as VERBS_OF_THE_ENVOY
from appliance.verbs import Verb

HOME = Path("/var/lib/etalon")
VERBS = {**VERBS_OF_THE_ENVOY, "kit": Verb(kit.add_arguments, kit.run)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m appliance", description=__doc__)
    parser.add_argument("--home", type=Path, default=HOME, help=f"the appliance's folder ({HOME})")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        own = argparse.ArgumentParser(add_help=False)
        own.add_argument("--home", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # also behind the verb
        verb.add_arguments(own)
        verbs.add_parser(name, parents=[own], description=own.description, help=own.description)
    options = parser.parse_args(arguments)
    return VERBS[options.verb].run(options)


if __name__ == "__main__":
    sys.exit(main())
