"""Stop with one sentence where this Python cannot run the package; kept free of syntax newer than Python 3.5."""

import sys

LOWEST, HIGHEST = (3, 11), (3, 13)

if not LOWEST <= sys.version_info[:2] <= HIGHEST:
    sys.exit(
        "napari-medseg needs Python 3.11, 3.12 or 3.13, but {} is Python {}.{}: "
        "name another one, e.g. 'make PYTHON=python3.12 demo'.".format(sys.executable, *sys.version_info[:2])
    )
