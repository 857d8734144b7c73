"""From labels and spacing to numbers."""
