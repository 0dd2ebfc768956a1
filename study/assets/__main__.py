"""`python -m study.assets`."""

import sys

from study.assets.command import main

sys.exit(main())
