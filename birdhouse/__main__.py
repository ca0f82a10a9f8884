"""`python -m birdhouse`."""

from birdhouse.cli.main import main

main()
