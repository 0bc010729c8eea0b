"""CallbackList: all callbacks of a loop as one.

Which batch hooks are overridden is found once.  A batch's logs are computed only if a callback
is there to read them; hooks marked `reads_logs_late` (the progress bar's) get the function
that computes them instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .callback import Callback
from .history import History
from .progbar_logger import ProgbarLogger

__all__ = ["CallbackList"]


class CallbackList:
    """Callbacks called in order.

    Args:
        callbacks: the user's callbacks.
        add_history: add a `History` unless there is one.
        add_progbar: add a `ProgbarLogger` unless there is one.
        model: the model at work.
        **params: given to `Callback.set_params`.
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | Callback | None = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ):
        if callbacks is None:
            callbacks = ()
        elif isinstance(callbacks, Callback):
            callbacks = (callbacks,)
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not hasattr(callback, "on_epoch_end"):
                raise TypeError(
                    "callbacks must be a list of Callback instances, got "
                    f"{callback!r} of type {type(callback).__name__}"
                )
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        if add_history and not any(isinstance(c, History) for c in self.callbacks):
            self.callbacks.append(History())
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)
            if model is not None:
                callback.set_model(model)
        self._find_batch_hooks()

    @classmethod
    def of(cls, callbacks: Any, **kwargs: Any) -> CallbackList:
        """`callbacks` itself if it is a `CallbackList`, else one made of it."""
        return callbacks if isinstance(callbacks, cls) else cls(callbacks, **kwargs)

    @property
    def history(self) -> Any:
        """The `History` among the callbacks, or None."""
        return next((c for c in self.callbacks if isinstance(c, History)), None)

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.append(callback)
        self._find_batch_hooks()

    # -- batches --------------------------------------------------------------------------

    def _find_batch_hooks(self) -> None:
        self.on_train_batch_begin = self._begin_hook("on_train_batch_begin", "on_batch_begin")
        self.on_test_batch_begin = self._begin_hook("on_test_batch_begin")
        self.on_predict_batch_begin = self._begin_hook("on_predict_batch_begin")
        self.on_train_batch_end = self._end_hook("on_train_batch_end", "on_batch_end")
        self.on_test_batch_end = self._end_hook("on_test_batch_end")
        self.on_predict_batch_end = self._end_hook("on_predict_batch_end")

    def _hooks(self, *names: str) -> list[Any]:
        return [
            getattr(callback, names[0])
            for callback in self.callbacks
            if any(getattr(type(callback), n) is not getattr(Callback, n, None) for n in names)
        ]

    def _begin_hook(self, *names: str) -> Callable[[int], None] | None:
        hooks = self._hooks(*names)
        if not hooks:
            return None

        def begin(batch: int) -> None:
            for hook in hooks:
                hook(batch, None)

        return begin

    def _end_hook(self, *names: str) -> Callable[[int, Callable[[], dict[str, Any]]], None]:
        late: list[Any] = []
        eager: list[Any] = []
        for hook in self._hooks(*names):
            (late if getattr(hook, "_reads_logs_late", False) else eager).append(hook)
        if not eager and len(late) == 1:
            return late[0]

        def end(batch: int, logs: Callable[[], dict[str, Any]]) -> None:
            if eager:
                known = logs()
                for hook in eager:
                    hook(batch, known)
                logs = lambda: known  # noqa: E731 - computed once for all
            for hook in late:
                hook(batch, logs)

        return end

    # -- epochs and loops -----------------------------------------------------------------

    def _all(self, name: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, name)(*args)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_epoch_end", epoch, logs)

    def on_train_begin(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_train_begin", logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_train_end", logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_test_begin", logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_test_end", logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_predict_begin", logs)

    def on_predict_end(self, logs: Any = None) -> None:
        """Call every callback's hook."""
        self._all("on_predict_end", logs)
