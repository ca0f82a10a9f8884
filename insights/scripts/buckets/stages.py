"""The layouts between two numbers of buckets. In each every row is read once, whatever bucket a reader knows."""

from __future__ import annotations

from enum import Enum

from buckets.layout import ON_DEMAND, Layout


class Stage(Enum):
    """In the order in which a workspace goes through them."""

    OLD = "there are the old buckets"
    DOUBLED = "rows of the new buckets go into the old and the new tables"
    HELD = "the schedules of the cleaned tables are held"
    SWITCHED = "readers are told the new buckets; who remembers an old one still finds everything there"
    """No table is refreshed: whoever goes from an old bucket to the new one would else go back in time."""
    SPLIT = "rows go into their new bucket alone"
    NEW = "there are the new buckets"


def layout(stage: Stage, old: int, new: int) -> Layout:
    old_moduli = dict.fromkeys(range(old), old)
    held = dict.fromkeys(range(new), ON_DEMAND)
    if stage is Stage.OLD:
        return Layout.of(old)
    if stage is Stage.DOUBLED:
        return Layout(new, old, old_moduli, dict.fromkeys(range(old, new), ON_DEMAND))
    if stage is Stage.HELD:
        return Layout(new, old, old_moduli, held)
    if stage is Stage.SWITCHED:
        return Layout(new, new, old_moduli, held, filtered=True)
    if stage is Stage.SPLIT:
        return Layout(new, new, filtered=True)
    return Layout.of(new)
