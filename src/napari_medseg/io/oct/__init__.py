"""Files of OCT scanners: one format per file, most of them with the device's own layers and fundus picture.

None of the readers hands out who was scanned: names, birth dates, patient and visit numbers and dates are skipped where
the format allows it and left behind where a parser reads them.
"""

from __future__ import annotations
