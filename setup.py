"""Names the packages: the repository root is `headrace`, each folder with a face is a room.

Everything else about the distribution stands in pyproject.toml.
"""

from setuptools import find_packages, setup

NOT_ROOMS = ("tests", "benches", "examples", "docs")

rooms = find_packages(
    exclude=[pattern for name in NOT_ROOMS for pattern in (name, f"{name}.*")]
)

setup(
    packages=["headrace", *(f"headrace.{room}" for room in rooms)],
    script_name="setup.py",  # as a module at the root it would else be packed
)
