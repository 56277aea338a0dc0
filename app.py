"""`python app.py` is `studio serve`: the studio on this machine."""

import sys

from studio.cli import main

if __name__ == "__main__":
    sys.exit(main(["serve", *sys.argv[1:]]))
