"""What a run found: as data, as text for a terminal, and as a page."""
