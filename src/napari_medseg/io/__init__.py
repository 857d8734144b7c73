"""Files to structures and back, one format per file; no torch, no napari."""
