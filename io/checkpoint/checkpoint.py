"""Checkpoint: the state of a program's objects, in TensorFlow's checkpoint files.

`checkpoint_graph` says what the state is, `checkpoint_restore` puts it back, `bundle_writer`
and `tensor_bundle` know the files, `checkpoint_state` the file ``checkpoint`` that names the
latest.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ...ops.context import current, init_scope
from ...ops.dtypes import int64
from ...ops.errors import NotFoundError
from ...ops.string_array import StringArray
from ...ops.variable import Variable
from .. import gfile
from ..bundle.reader import BundleReader
from ..bundle.writer import write_bundle
from ..filesystems import is_remote
from ..trackable import attribute_children, children_of, is_trackable
from .graph import OBJECT_GRAPH_KEY, ObjectGraph
from .options import CheckpointOptions
from .restore import Restoration
from .state import update_checkpoint_state
from .status import CheckpointLoadStatus, InitializationOnlyStatus

__all__ = ["Checkpoint"]

_OWN = ("root", "_save_counter", "_attached", "_writing", "_waiting_restores")


class Checkpoint:
    """Saves and restores the objects it is given, and all they hold.

    Objects are variables, modules, Keras layers, models, optimizers and metrics, iterators
    over datasets, random generators, other checkpoints, and lists, tuples and dictionaries of
    these.  The files are TensorFlow's: each restores what the other saved, iterators apart.

    Args:
        root: an object whose parts are the checkpoint's own parts, too.
        **kwargs: objects by name.

    Raises:
        ValueError: an object has no state that could be saved, or `root` has another part of
            the same name.

    >>> import os, tempfile, headrace as hr
    >>> step = hr.Variable(1)
    >>> checkpoint = Checkpoint(step=step)
    >>> path = checkpoint.save(os.path.join(tempfile.mkdtemp(), "ckpt"))
    >>> _ = step.assign(5)
    >>> _ = checkpoint.restore(path).assert_consumed()
    >>> int(step), os.path.basename(path)
    (1, 'ckpt-1')
    """

    def __init__(self, root: Any = None, **kwargs: Any):
        self._save_counter: Variable | None = None
        self._writing: Future[Any] | None = None
        self._attached: list[tuple[str, Any]] = []
        self.root = root
        if root is not None:
            _check_trackable(root, "root")
            kwargs["root"] = root
            self._save_counter = dict(children_of(root)).get("save_counter")
            parts = dict(children_of(root))
        for name, value in sorted(kwargs.items()):
            setattr(self, name, value)
            _check_trackable(value, name)
            if root is None:
                continue
            if parts.get(name) is None:
                self._attached.append((name, value))
            elif parts[name] is not value:
                raise ValueError(
                    f"Cannot create a Checkpoint with keyword argument {name} if root.{name} "
                    "already exists."
                )

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        waiting = self.__dict__.get("_waiting_restores")
        if waiting is not None:
            waiting.noticed(name, value)

    # -- the graph --------------------------------------------------------------------------

    @property
    def _start(self) -> Any:
        return self if self.root is None else self.root

    def _checkpoint_children(self) -> list[tuple[str, Any]]:
        found = list(attribute_children(self, _OWN))
        if self.root is not None:
            return [("root", self.root), *found, *self._counted()]
        return [*found, *self._counted()]

    def _counted(self) -> list[tuple[str, Any]]:
        return [] if self._save_counter is None else [("save_counter", self._save_counter)]

    def _children(self, obj: Any) -> list[tuple[str, Any]]:
        """An object's parts; the root's with those given besides."""
        found = children_of(obj)
        if self.root is not None and obj is self.root:
            names = {name for name, _ in found}
            found += [p for p in [*self._attached, *self._counted()] if p[0] not in names]
        return found

    @property
    def save_counter(self) -> Variable:
        """An int64 variable: how often `save` was called.  It numbers checkpoints."""
        if self._save_counter is None:
            with init_scope():
                counter = Variable(0, trainable=False, name="save_counter", dtype=int64)
            self._save_counter = counter
            waiting = getattr(self._start, "_waiting_restores", None)
            if waiting is not None:
                waiting.noticed("save_counter", counter)
        return self._save_counter

    # -- saving -----------------------------------------------------------------------------

    def save(self, file_prefix: Any, options: CheckpointOptions | None = None) -> str:
        """Write ``<file_prefix>-<number>`` and note it as the latest; its path.

        The number is `save_counter`'s, counted up first.  Checkpoints of a `CheckpointManager`
        are deleted when there are too many; these are not.

        Raises:
            NotImplementedError: inside a traced function.
            OpError: of the kind that fits what the file system reports; then there is what was
                there before.
        """
        if current.trace is not None:
            raise NotImplementedError(
                "Calling Checkpoint.save() from a function is not supported, as save() changes "
                "files that a trace knows nothing of. Call it outside of the function."
            )
        prefix = os.fsdecode(os.fspath(file_prefix))
        counter = self.save_counter
        counter.assign_add(1)
        options = options or CheckpointOptions()
        return self._write(f"{prefix}-{int(counter)}", options.and_then(_note_latest))

    def write(self, file_prefix: Any, options: CheckpointOptions | None = None) -> str:
        """Write the checkpoint `file_prefix`, unnumbered; its path.  `read` reads it.

        Raises:
            OpError: as for `save`.
        """
        return self._write(os.fsdecode(os.fspath(file_prefix)), options or CheckpointOptions())

    def _write(self, prefix: str, options: CheckpointOptions) -> str:
        self.sync()
        graph = ObjectGraph(self._start, self._children)
        proto, tensors = graph.saved()
        # What several workers combine to read, all must read, also those that do not write.
        values = {key: value() for key, value in tensors.items()}
        values[OBJECT_GRAPH_KEY] = StringArray.from_values(
            np.array(proto.SerializeToString(deterministic=True), object)
        )
        folder = os.path.dirname(prefix)
        if folder and not is_remote(prefix):
            gfile.makedirs(folder)
        if not _writes_files(graph.objects):
            return prefix
        if not options.enable_async:
            write_bundle(prefix, values)
            options.call_back(prefix)
            return prefix

        def write() -> None:
            write_bundle(prefix, values)
            options.call_back(prefix)

        pool = ThreadPoolExecutor(1, "headrace-checkpoint")
        self._writing = pool.submit(write)
        pool.shutdown(wait=False)
        return prefix

    def sync(self) -> None:
        """Wait until what `enable_async` writes is written; raises what writing raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    # -- restoring --------------------------------------------------------------------------

    def read(self, save_path: Any, options: CheckpointOptions | None = None) -> Any:
        """Restore from the checkpoint at `save_path`, without a `save_counter`; the status.

        Raises:
            NotFoundError: there is none.
            DataLossError: it is damaged.
            ValueError, InvalidArgumentError: a value does not fit its variable.
        """
        self.sync()
        if save_path is None:
            return InitializationOnlyStatus()
        options = options or CheckpointOptions()
        reader = BundleReader(os.fsdecode(os.fspath(save_path)))
        if OBJECT_GRAPH_KEY not in reader:
            raise NotFoundError(
                f"Key {OBJECT_GRAPH_KEY} not found in checkpoint {reader.prefix}: it was not "
                "saved from objects (by tf.train.Checkpoint); load_checkpoint() reads its "
                "values by name"
            )
        return CheckpointLoadStatus(
            Restoration(
                reader, self._start, self._children, options.experimental_skip_slot_variables
            )
        )

    def restore(self, save_path: Any, options: CheckpointOptions | None = None) -> Any:
        """Restore from a checkpoint that `save` wrote; the status, which has assertions.

        Variables that do not exist yet are restored when they are made: when they become an
        attribute of an object that was restored, or when its layer is built.

        Args:
            save_path: path without ending, as `save` and `latest_checkpoint` return it, or
                the folder of a SavedModel; None restores nothing.
            options: `CheckpointOptions`.

        Raises:
            NotFoundError: there is no such checkpoint.
            DataLossError: it is damaged; says which file and value.
            ValueError, InvalidArgumentError: a value does not fit its variable.
        """
        path = save_path
        if save_path is not None:
            path = os.fsdecode(os.fspath(save_path))
            if any(
                gfile.exists(gfile.join(path, f"saved_model.{end}")) for end in ("pb", "pbtxt")
            ):
                path = gfile.join(path, "variables", "variables")
        try:
            status = self.read(path, options)
        except NotFoundError as error:
            raise NotFoundError(
                f"Error when restoring from checkpoint or SavedModel at {save_path}: {error}\n"
                "Please double-check that the path is correct. You may be missing the "
                "checkpoint suffix (e.g. the '-1' in 'path/to/ckpt-1')."
            ) from None
        self.save_counter  # noqa: B018 -- made now, so that it is restored
        return status


def _check_trackable(value: Any, name: str) -> None:
    if not (is_trackable(value) or isinstance(value, (list, tuple, dict))):
        raise ValueError(
            f"`Checkpoint` was expecting {name} to be a trackable object (a Variable, Module, "
            "Keras layer, model, optimizer or metric, iterator, random Generator, Checkpoint, "
            f"or a list, tuple or dict of these), got {value!r}"
        )


def _writes_files(objects: list[Any]) -> bool:
    """Whether this process writes: of several workers only the chief does."""
    strategies = [current.variables]
    strategies += [getattr(o, "distribute_strategy", None) for o in objects if
                   isinstance(o, Variable)]  # fmt: skip
    return all(s is None or s.extended.is_chief for s in strategies)


def _note_latest(path: str) -> None:
    update_checkpoint_state(os.path.dirname(path), path, [path])
