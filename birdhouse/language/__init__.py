"""Pure text work: datafiles, templates and SQL. Nothing here reads a file, a database or the network."""
