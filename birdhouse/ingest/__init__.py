"""Records to rows, misfits to quarantine."""
