"""Small namespaces of the public face (`hr.nn`, `hr.math`, ...): each lists names of the rooms.

They stand in a folder because modules called `math.py` or `random.py` at the root would stand
in for Python's own when the root is on `sys.path`.
"""
