"""Runs SQL and takes rows. Knows ClickHouse; knows no datafile, token or workspace."""
