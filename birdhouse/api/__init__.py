"""HTTP. `routes.py` is the table of contents; one file per URL noun; `errors.py` turns errors into answers."""
