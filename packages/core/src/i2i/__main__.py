"""``python -m i2i`` is the command ``i2i``."""

import sys

from i2i.cli import main

sys.exit(main())
