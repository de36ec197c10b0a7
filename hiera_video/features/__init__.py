"""Features of whole videos."""
