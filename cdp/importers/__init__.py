"""Importers: each reads one kind of source and sends its records through the events API."""
