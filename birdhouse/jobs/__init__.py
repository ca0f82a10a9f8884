"""Work that takes longer than a request: copies, populates, imports by URL, deletes."""
