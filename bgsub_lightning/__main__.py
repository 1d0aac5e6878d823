"""``python -m bgsub_lightning``."""

import sys

from bgsub_lightning.cli import main

sys.exit(main())
