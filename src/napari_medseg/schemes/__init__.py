"""The training schemes, by key. A further scheme is one file here and one line in `SCHEMES`."""
