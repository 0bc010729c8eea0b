"""The transformations, one per file: the frozen node, then its stage."""
