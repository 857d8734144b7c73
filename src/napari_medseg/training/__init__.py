"""One training loop for all schemes: stages in, weights out."""
