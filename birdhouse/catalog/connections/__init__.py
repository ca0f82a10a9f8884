"""Where the connections of the workspaces are kept, with credentials that nobody gets back."""
