"""Labels and spacing to figures: arrays in, tables out; no files, no torch, no napari."""
