"""Whole workspaces: copies of one moment, backups, restores."""
