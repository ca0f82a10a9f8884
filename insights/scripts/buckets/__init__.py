"""The number of buckets: the datafiles that follow from it, and the way from one number to another on a running server.

Needs nothing but Python, so that it works where the project's files are.
"""
