"""What the project is made and checked with; nothing here is installed."""
