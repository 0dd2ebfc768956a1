"""`python -m study.replay TABLE`."""

import sys

from study.replay.command import main

if __name__ == "__main__":
    sys.exit(main())
