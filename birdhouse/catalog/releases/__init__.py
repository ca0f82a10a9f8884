"""Releases: which commit of a project a workspace has, and had."""
