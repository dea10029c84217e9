"""`python -m barnabas`: the same as the `barnabas` command."""

import sys

from barnabas.cli.main import main

sys.exit(main())
