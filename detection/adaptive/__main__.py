"""`python -m detection.adaptive check FILE`: compare with a file of test vectors."""

import sys

from detection.adaptive.check import main

sys.exit(main(sys.argv[1:]))
