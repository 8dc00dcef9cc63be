"""`python -m gensr.cli` is the same as `gensr`."""

import sys

from gensr.cli.app import main

sys.exit(main())
