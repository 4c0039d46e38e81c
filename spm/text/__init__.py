"""Text -> ids -> text, once for each oracle."""
