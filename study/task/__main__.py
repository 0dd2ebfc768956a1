"""`python -m study.task check FILE.toml`."""

import sys

from study.task.check import main

sys.exit(main())
