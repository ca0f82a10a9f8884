"""Check, plan, explain, apply: the one way anything in a workspace is created, changed or removed."""
