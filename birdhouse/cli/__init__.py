"""The commands. One file each; `output.py` is the only place that prints."""
