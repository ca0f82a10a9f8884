"""Service data sources (`tinybird.*`): their datafiles, and the recorder that fills them."""
