"""What exists in a workspace, and who reads whom."""
