"""Progress: the states that a `save` which may be interrupted writes down (checkpoint_args)."""

from __future__ import annotations

from typing import Any

from ...io.filesystems import join
from ...ops.errors import DataLossError
from .locate import check_path, storage_of
from .spec_json import dump_state, load_state

__all__ = ["Progress"]

_KNOWN = ("directory", "checkpoint_interval", "step_counter", "max_to_keep",
          "keep_checkpoint_every_n_hours", "checkpoint_name", "init_fn")  # fmt: skip


class Progress:
    """The latest state of a save, in a folder.

    Args:
        args: the user's ``checkpoint_args``.
        plan: identifies the dataset; states of others are ignored.

    Raises:
        ValueError: `args` has unknown keys, or no ``directory``.
    """

    def __init__(self, args: dict[str, Any], plan: str):
        if "checkpoint" in args:
            raise ValueError(
                "Invalid `checkpoint_args`. `checkpoint_args` are not allowed to include "
                "'checkpoint'."
            )
        unknown = sorted(set(args) - set(_KNOWN))
        if unknown or "directory" not in args:
            raise ValueError(
                "checkpoint_args must have a 'directory' and may have "
                f"{', '.join(_KNOWN[1:])}; got {sorted(args)}"
            )
        folder = check_path("directory", args["directory"])
        name = args.get("checkpoint_name") or "save"
        self._storage = storage_of(folder)
        self._path = join(folder, f"{name}-progress.json")
        self.interval = max(1, int(args.get("checkpoint_interval") or 10_000))
        self._counter = args.get("step_counter")
        self._plan = plan
        self._since = 0

    def load(self) -> dict[str, Any] | None:
        """The state of an interrupted save of the same dataset, if there is one."""
        try:
            found = self._storage.read_json(self._path)
            if found is None or found["plan"] != self._plan:
                return None
            return load_state(found["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataLossError(
                f"{self._path}; the file is damaged: {error}; delete it to save from the start"
            ) from None

    def due(self, elements: int) -> bool:
        """Count `elements`; whether it is time for a state."""
        if self._counter is not None:
            self._counter.assign_add(elements)
        self._since += elements
        return self._since >= self.interval

    def save(self, state: dict[str, Any]) -> None:
        """Write a state in place of the one before."""
        self._since = 0
        self._storage.write_json(self._path, {"plan": self._plan, "state": dump_state(state)})

    def done(self) -> None:
        """All is saved: nothing to go on with."""
        self._storage.remove(self._path)
