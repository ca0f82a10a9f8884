"""Variables: secrets of a workspace that templates use by name, with `tb_secret` or `tb_var`."""
