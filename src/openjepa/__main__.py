"""python -m openjepa"""

import sys

from openjepa.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
