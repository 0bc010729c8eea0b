"""What `Checkpoint.restore` returns: assertions about what was restored, and what was not."""

from __future__ import annotations

import logging
from typing import Any

from ..trackable import values_of
from .restore import Restoration

__all__ = ["CheckpointLoadStatus", "InitializationOnlyStatus"]

_log = logging.getLogger("headrace")


class CheckpointLoadStatus:
    """What `restore` returns: assertions about what was restored."""

    def __init__(self, restoration: Restoration):
        self._restoration = restoration
        self._partial = False

    def assert_consumed(self) -> CheckpointLoadStatus:
        """Itself, if all values of the checkpoint and all objects of the program are matched.

        Raises:
            AssertionError: some are not.
        """
        self.assert_existing_objects_matched()
        found = self._restoration
        left = found.unmatched_nodes()
        if left:
            names = [found.paths[i] for i in left]
            raise AssertionError(
                f"Unresolved object in checkpoint {found.reader.prefix}: {len(left)} values "
                f"have no object in the program, such as {names[:10]}. expect_partial() allows "
                "it"
            )
        if found.unused:
            unused = {found.paths[i]: names for i, names in found.unused.items()}
            raise AssertionError(
                "Unused attributes in these objects (the attributes exist in the checkpoint "
                f"{found.reader.prefix} but were not restored): {unused}"
            )
        return self

    def assert_existing_objects_matched(self) -> CheckpointLoadStatus:
        """Itself, if all objects that the program has now are matched.

        Raises:
            AssertionError: some are not.
        """
        missing = self._restoration.unmatched_objects()
        if missing:
            raise AssertionError(
                f"Found {len(missing)} Python objects that were not bound to checkpointed "
                "values, likely due to changes in the Python program. Showing "
                f"{min(10, len(missing))} of {len(missing)} unmatched objects: "
                f"{[f'{path}: {obj!r}' for path, obj in missing[:10]]}"
            )
        return self

    def assert_nontrivial_match(self) -> CheckpointLoadStatus:
        """Itself, if something besides the root is matched.

        Raises:
            AssertionError: nothing is.
        """
        graph = self._restoration.live_graph()
        if self._restoration.matched > 1:
            return self
        if any(values_of(obj) for obj in graph.objects):
            raise AssertionError(
                "Nothing except the root object matched a checkpointed value. Typically this "
                f"means that the checkpoint {self._restoration.reader.prefix} does not match "
                f"the Python program, which has {graph.paths[1:11]}"
            )
        raise AssertionError(
            f"Nothing to load. No dependencies have been added to {graph.objects[0]!r} yet."
        )

    def expect_partial(self) -> CheckpointLoadStatus:
        """Itself; what is not restored is not logged."""
        self._partial = True
        return self

    def initialize_or_restore(self, session: Any = None) -> None:
        """Nothing: values are restored at once."""

    def run_restore_ops(self, session: Any = None) -> None:
        """Nothing: values are restored at once."""

    def __del__(self) -> None:
        if self._partial or not hasattr(self, "_restoration"):
            return
        left = self._restoration.unmatched_nodes()
        if left:
            _log.warning(
                "%d values of the checkpoint %s were not restored, such as %s; "
                "assert_consumed() makes this an error, expect_partial() silences it",
                len(left), self._restoration.reader.prefix,
                [self._restoration.paths[i] for i in left[:5]],
            )  # fmt: skip


class InitializationOnlyStatus:
    """What `restore(None)` returns: nothing was restored, and assertions say so."""

    def _fail(self) -> Any:
        raise AssertionError(
            "No checkpoint specified (save_path=None); nothing is being restored."
        )

    def assert_consumed(self) -> Any:
        """Raises AssertionError."""
        return self._fail()

    def assert_existing_objects_matched(self) -> Any:
        """Raises AssertionError."""
        return self._fail()

    def assert_nontrivial_match(self) -> Any:
        """Raises AssertionError."""
        return self._fail()

    def expect_partial(self) -> InitializationOnlyStatus:
        """Itself."""
        return self

    def initialize_or_restore(self, session: Any = None) -> None:
        """Nothing: variables have their values."""

    def run_restore_ops(self, session: Any = None) -> None:
        """Raises AssertionError."""
        self._fail()
