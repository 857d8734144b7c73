"""Label tools: arrays in, arrays out."""
