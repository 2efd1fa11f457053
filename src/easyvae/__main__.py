"""`python -m easyvae` is the command `easyvae`."""

import sys

from easyvae.cli import main

if __name__ == "__main__":
    sys.exit(main())
