"""UndoStack: taking back one's own work, and only that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from crdtkv import _core
from crdtkv.errors import StaleHandleError

if TYPE_CHECKING:
    from crdtkv.doc import Doc

__all__ = ["UndoStack"]


class _Step:
    """Changes that are undone together: numbers of the document's, ascending; `time` (ms) is that of the last."""

    __slots__ = ("changes", "time")

    def __init__(self, changes: Iterable[int] = (), time: int = 0) -> None:
        self.changes, self.time = list(changes), time


class UndoStack:
    """Undo and redo of what was done through one document object since the stack was made. Doc.undo_stack() makes it.

    A change is a step. Undoing is an ordinary change: what was inserted is deleted, what was deleted comes back, and
    what others did meanwhile stays. A step that has no effect any more is skipped; new edits end what could be redone.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> stack = doc.undo_stack()
    >>> doc["title"] = "draft"
    >>> stack.undo(), doc.to_py()
    (True, {})
    >>> stack.redo(), doc.to_py()
    (True, {'title': 'draft'})
    """

    __slots__ = ("__weakref__", "_doc", "_done", "_group", "_interval", "_mine", "_scope", "_seen", "_undone")

    def __init__(self, doc: Doc, scope: Iterable[object] | None = None, *, interval: float = 0.0) -> None:
        if interval < 0:
            raise ValueError("interval cannot be negative")
        self._doc = doc
        self._interval = interval * 1000
        self._scope = tuple(_containers(doc, scope))
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._mine: set[int] = set()  # changes that this stack made itself
        self._group: _Step | None = None
        doc.commit()
        self._seen = doc._own_changes(2**32 - 1)[1]

    def _gather(self) -> bool:
        """Takes note of new changes. Is one open?"""
        rows, self._seen, is_open = self._doc._own_changes(self._seen)
        for number, time in rows:
            if number in self._mine:
                continue
            self._undone.clear()
            step = self._group
            if step is None:
                last = self._done[-1] if self._done else None
                if last is not None and 0 <= time - last.time < self._interval:
                    step = last
                else:
                    step = _Step()
                    self._done.append(step)
            step.changes.append(number)
            step.time = time
        return is_open

    def _take_back(self, source: list[_Step], target: list[_Step]) -> bool:
        doc = self._doc
        doc.commit()
        self._gather()
        while source:
            step = source.pop()
            try:
                made = doc._undo(sorted(step.changes), self._scope, False)
            except BaseException:
                rows, _, _ = doc._own_changes(self._seen)
                if not rows:  # it was not made; else it was, and observers raised
                    source.append(step)
                    raise
                self._note(rows[-1][0], step, target)
                raise
            if made is not None:
                self._note(made, step, target)
                return True
        return False

    def _note(self, made: int, step: _Step, target: list[_Step]) -> None:
        self._mine.add(made)
        target.append(_Step([made], step.time))

    def undo(self) -> bool:
        """Take back the last step that still has an effect; False if there is none. Closes the open change.

        RuntimeError inside a change() block.
        """
        return self._take_back(self._done, self._undone)

    def redo(self) -> bool:
        """Take back the last undo(); False if there is none, or if something was done since."""
        return self._take_back(self._undone, self._done)

    def _can(self, steps: list[_Step]) -> bool:
        return any(self._doc._undo(sorted(step.changes), self._scope, True) is not None for step in reversed(steps))

    @property
    def can_undo(self) -> bool:
        """Would undo() do something? Edits that no change holds yet count."""
        return self._gather() or self._can(self._done)

    @property
    def can_redo(self) -> bool:
        """Would redo() do something?"""
        return not self._gather() and self._can(self._undone)

    @contextmanager
    def group(self) -> Iterator[None]:
        """All changes made inside are one step. Closes the open change at both ends.

        >>> import crdtkv as ck
        >>> doc = ck.Doc()
        >>> stack = doc.undo_stack()
        >>> with stack.group():
        ...     doc["a"] = 1
        ...     _ = doc.commit()
        ...     doc["b"] = 2
        >>> stack.undo(), doc.to_py()
        (True, {})
        """
        outer = self._group
        self._doc.commit()
        self._gather()
        if outer is None:
            self._group = _Step()
        try:
            yield
        finally:
            try:
                self._doc.commit()
                self._gather()
            finally:
                if outer is None:
                    step, self._group = self._group, None
                    if step is not None and step.changes:
                        self._done.append(step)

    def _counts(self) -> tuple[int, int, bool]:
        """Steps to undo, steps to redo, and is there an open change to undo before them? Changes nothing."""
        with suppress(StaleHandleError):  # the file of the document was closed: what was known last
            is_open = self._gather()
            return len(self._done), 0 if is_open else len(self._undone), is_open
        return len(self._done), len(self._undone), False

    def __repr__(self) -> str:
        done, undone, is_open = self._counts()
        opened = ", and an open change" if is_open else ""
        return f"<UndoStack of {self._doc!r}: {done} to undo{opened}, {undone} to redo>"

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.undo_stack(self)


def _containers(doc: Doc, scope: Iterable[object] | object | None) -> Iterator[int]:
    """The numbers of the containers of a scope: one handle or path, or several."""
    if scope is None:
        return
    one = isinstance(scope, _core.Handle | _core.Doc | str) or _is_path(scope)
    several: Iterable[object] = (scope,) if one else scope  # type: ignore[assignment]
    for container in several:
        if isinstance(container, str) or _is_path(container):
            container = _at((container,) if isinstance(container, str) else container, doc)  # type: ignore[arg-type]
        if container is doc:
            yield 0
        elif isinstance(container, _core.Handle) and container._doc is doc:
            yield container._container
        else:
            raise TypeError("scope must be containers of this document, or paths to them")


def _is_path(scope: object) -> bool:
    return isinstance(scope, tuple) and bool(scope) and all(isinstance(step, str | int) for step in scope)


def _at(path: Iterable[Any], doc: Doc) -> object:
    place: Any = doc
    for step in path:
        place = place[step]  # KeyError, IndexError, TypeError: nothing is there
    return place
