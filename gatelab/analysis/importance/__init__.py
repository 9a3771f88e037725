"""Which options of a search mattered."""
