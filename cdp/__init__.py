"""The community data platform side: what feeds Birdhouse. Speaks to it over HTTP and imports nothing from it."""
