"""Shares: data sources that other workspaces may read, as `origin.name`."""
