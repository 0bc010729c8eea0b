"""TensorFlow's bundles: many named tensors in an index file and data files.

`sorted_table` is the index's format, `reader` and `writer` the whole, `slices` names parts of
tensors, `whole_file` writes a file so that it appears at once.
"""
