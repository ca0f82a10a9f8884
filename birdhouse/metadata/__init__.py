"""What the server remembers about itself: workspaces, resources, tokens, jobs. Never the rows of data."""
