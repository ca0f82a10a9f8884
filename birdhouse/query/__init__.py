"""Parameters to composed SQL to an answer."""
