"""Runs the tests of a data project: what they are, what they need, how they are run and told."""
