"""Checkpoints of objects: what `hr.train.Checkpoint` saves, and how it comes back.

`graph` finds the objects and names their values, `checkpoint` saves them in a bundle; `restore`
and `status` bring them back, now or when they are made.  `manager` keeps the latest ones,
`state` the file that says which they are, and `reader` looks into one.
"""
