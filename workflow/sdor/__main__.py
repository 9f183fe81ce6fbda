"""`python -m sdor` is the command `sdor`."""

import sys

from sdor.command import main

sys.exit(main())
