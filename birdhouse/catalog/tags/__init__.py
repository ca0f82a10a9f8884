"""Tags: names that group the data sources and pipes of a workspace, for people to find them by."""

from birdhouse.catalog.tags.store import Tag, TaggedResource, Tags

__all__ = ["Tag", "TaggedResource", "Tags"]
