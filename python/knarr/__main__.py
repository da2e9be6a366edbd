"""`python -m knarr` is the command `knarr`."""

from knarr.cli import main

main()
