"""Event and KeyEvent: what changes did, told to those who observe a document or a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Self

from crdtkv.brief import briefly
from crdtkv.patch import MISSING, Patch, PatchList

__all__ = ["Event", "KeyEvent", "Observer", "Subscription"]

Path = tuple[str | int, ...]


@briefly
class Event(NamedTuple):
    """What a run of changes of one author did to what is observed.

    `path` is what was observed, () for all; `patches` the net effect in order of application, with absolute paths;
    `author` a public key; `origin` what change() was given; `is_local`: made by this very object; `changes` ids.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> subscription = doc.observe(lambda event: print(event.origin, event.patches[0].new))
    >>> with doc.change(origin="me"):
    ...     doc["x"] = 1
    me 1
    """

    path: Path
    patches: list[Patch]
    author: bytes
    origin: Any
    is_local: bool
    changes: tuple[bytes, ...]

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.event(self)


@briefly
class KeyEvent(NamedTuple):
    """What happened to a key of a store or datastore: its shown value before and after, MISSING where there is none.

    `author` is who put the new value, or removed the old one: a public key; of a store a peer, None if another replica
    removed it. `is_local`: by this very object.

    >>> import crdtkv as ck
    >>> s = ck.Store()
    >>> subscription = s.observe(lambda event: print(event.key, event.old, event.new, event.is_local))
    >>> s["x"] = 1
    x MISSING 1 True
    """

    key: str | bytes
    old: Any
    new: Any
    author: bytes | None
    is_local: bool

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.key_event(self)


class Subscription:
    """A callback that is called until cancel(), or until the end of a `with` block. observe() makes it.

    >>> import crdtkv as ck
    >>> doc = ck.Doc()
    >>> with doc.observe(lambda event: print("heard")):
    ...     doc["x"] = 1; change = doc.commit()
    heard
    >>> doc["x"] = 2; change = doc.commit()
    """

    __slots__ = ("_cancel",)

    def __init__(self, cancel: Callable[[], object]) -> None:
        self._cancel: Callable[[], object] | None = cancel

    def cancel(self) -> None:
        """Call back no more. Twice is no error."""
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def __repr__(self) -> str:
        return f"<Subscription: {'over' if self._cancel is None else 'on'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()

    def _repr_html_(self) -> str:
        from crdtkv import notebook

        return notebook.subscription(self)


class Observer:
    """Who observes a path, or (with a container's number) a container wherever it is."""

    __slots__ = ("callback", "container", "path")

    def __init__(self, callback: Callable[[Event], object], path: Path, container: int | None) -> None:
        self.callback, self.path, self.container = callback, path, container

    def part(self, patches: list[Patch], place: Path | None) -> tuple[Path, list[Patch]]:
        """What of the patches is this observer's, and the path to say; `place` is where the container is now."""
        if self.container is not None:
            return (place, followed(patches, place)) if place is not None else ((), [])
        if not self.path:
            return (), patches
        return self.path, PatchList(patch for patch in patches if touches(patch, self.path))


def touches(patch: Patch, path: Path) -> bool:
    """Does the patch change what is at the path: something in it, itself, or what it is in?"""
    depth = len(patch.path)
    if depth >= len(path):
        return patch.path[: len(path)] == path
    if patch.path != path[:depth]:
        return False
    step, rest = path[depth], path[depth + 1 :]
    if patch.kind == "move":
        return step in (patch.position, patch.new)
    if patch.kind in ("insert", "remove") and isinstance(patch.position, int):  # a run: of items, or of characters
        run = patch.new if patch.kind == "insert" else patch.old
        if not isinstance(run, list) or not isinstance(step, int):
            return False
        rest = (step - patch.position, *rest)
    elif patch.kind not in ("set", "remove") or patch.position != step:
        return False
    return has(patch.old, rest) or has(patch.new, rest)


def has(value: Any, path: Path) -> bool:
    """Is there anything at this path of a plain value?"""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            value = value[step]
        else:
            return False
    return value is not MISSING


def followed(patches: list[Patch], place: Path) -> list[Patch]:
    """The patches inside a container that is at `place` after all of them, wherever it was before."""
    here: Path = place
    found = PatchList()
    for patch in reversed(patches):
        depth = len(patch.path)
        if patch.path[: len(here)] == here:
            found.append(patch)
        elif depth < len(here) and patch.path == here[:depth]:
            step = step_before(here[depth], patch)
            if step is None:
                break  # it was made by this patch
            here = (*here[:depth], step, *here[depth + 1 :])
    found.reverse()
    return found


def step_before(step: str | int, patch: Patch) -> str | int | None:
    """The key or index that a container had before a patch of what holds it; None: it was not there."""
    at = patch.position
    if patch.kind == "set":
        return None if at == step else step
    if isinstance(step, str) or not isinstance(at, int):
        return step
    if patch.kind == "insert":
        n: int = len(patch.new)
        return step if step < at else None if step < at + n else step - n
    if patch.kind == "remove":
        return step if step < at else step + len(patch.old)
    if step == patch.new:  # move
        return at
    out = step - int(step > patch.new)
    return out + int(out >= at)
