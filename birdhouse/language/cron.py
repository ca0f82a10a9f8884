"""When something runs by itself: a cron expression of five fields, always in UTC, or one of two words.

`@on-demand` is never, `@once` is one time, when it is first seen.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cronsim import CronSim, CronSimError

from birdhouse.errors import InvalidInput

ON_DEMAND = "@on-demand"
ONCE = "@once"

FIELDS = 5
CHARACTERS_MAX = 200
_HINT = f"Write five fields in UTC, such as 0 * * * *, or {ON_DEMAND}."
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)


class Cron:
    """The ticks of one expression. A field takes what Debian's cron takes: `*/5`, `1-4`, `MON,FRI`, and L and #."""

    def __init__(self, text: str) -> None:
        """Raises InvalidInput for what is no expression, and for one that never comes, such as 31 February."""
        self.text = text
        if len(text) > CHARACTERS_MAX or len(text.split()) != FIELDS:
            raise InvalidInput(f"'{text[:CHARACTERS_MAX]}' is not a cron expression", hint=_HINT)
        try:
            next(CronSim(text, _LONG_AGO))
        except CronSimError as error:
            reason = str(error).replace("Bad", "wrong")
            raise InvalidInput(f"'{text}' is not a cron expression: {reason}", hint=_HINT) from error
        except StopIteration:
            raise InvalidInput(f"'{text}' never comes", hint=_HINT) from None

    def next_after(self, moment: datetime) -> datetime:
        return next(CronSim(self.text, moment))

    def latest_until(self, moment: datetime) -> datetime:
        """The last tick that is not later than `moment`."""
        # The library goes back from a whole second to earlier ones only; from a fraction it begins with that second.
        return next(CronSim(self.text, moment.replace(microsecond=0) + _MOMENT, reverse=True))


@lru_cache(maxsize=1024)
def cron(text: str) -> Cron:
    return Cron(text)
