"""What papers name: overlaps, candidates, regions, conflicts, scores. Assigners are made of them."""
