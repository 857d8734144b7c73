"""Open medical images in napari, label them, train from few and mixed labels, predict, correct, train again."""
