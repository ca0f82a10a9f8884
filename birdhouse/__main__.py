"""`python -m birdhouse`."""

from birdhouse.cli.entry import main

main()
