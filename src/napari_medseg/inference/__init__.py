"""One engine that runs any predictor over any array or zarr."""
