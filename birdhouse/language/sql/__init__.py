"""Reads and rewrites SQL with ClickHouse's own parser, and decides which SELECTs of a client may run."""
