"""Whole slides: tiles read in place through one bounded cache, scanners' formats, levels that a file lacks."""
