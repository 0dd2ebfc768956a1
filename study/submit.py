"""Send a study to a Ray cluster: `python -m study.submit --address http://HOST:8265 -- --space ood`. See `--help`."""

import sys

from study.cluster.command import main

if __name__ == "__main__":
    sys.exit(main())
