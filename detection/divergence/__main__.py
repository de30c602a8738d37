"""`python -m detection.divergence check FILE`: compare with a file of test vectors."""

import sys

from detection.divergence.check import main

sys.exit(main(sys.argv[1:]))
