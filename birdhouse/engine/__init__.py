"""Runs SQL and takes rows. Knows ClickHouse; knows no datafile, token or workspace."""

import os
import time

# Columns without a time zone of their own have the one that the process had when the engine's library was loaded.
os.environ["TZ"] = "UTC"
time.tzset()
