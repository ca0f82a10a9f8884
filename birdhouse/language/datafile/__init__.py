"""Datafiles (.datasource, .pipe, .token, .incl) to definitions and back."""
