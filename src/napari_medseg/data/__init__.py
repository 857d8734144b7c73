"""Data sets, splits, patches, intensity, augmentation."""
