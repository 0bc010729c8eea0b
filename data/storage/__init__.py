"""Elements in files of Headrace's own: what `cache`, `save`, `load` and `snapshot` share."""
