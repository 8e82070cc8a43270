"""Examples in docstrings: where they are, and what they are examples of."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import crdtkv

PACKAGE = Path(crdtkv.__file__).parent
MODULES = sorted(
    {"crdtkv", "crdtkv._core", *(m.name for m in pkgutil.walk_packages(crdtkv.__path__, "crdtkv."))}
    - {"crdtkv.__main__"}
)
PUBLIC = ("crdtkv", "crdtkv.errors", "crdtkv.net", "crdtkv.testing", "crdtkv.notebook", "crdtkv.prometheus")
GIVEN = {  # classes that have no public name: calls of public ones give their instances
    "App": "crdtkv.net.asgi_app",
    "NatsLink": "crdtkv.net.jetstream.link",
    "StoreClock": "crdtkv.store",
}


class Finder(doctest.DocTestFinder):
    """Finds what is decorated, too: such a function may have the globals of the module that decorates."""

    def _from_module(self, module: ModuleType | None, object: object) -> bool:
        if module is not None and inspect.isfunction(object):
            return object.__module__ == module.__name__
        return bool(super()._from_module(module, object))  # type: ignore[misc]


def examples(module: str) -> list[doctest.DocTest]:
    """Those of a module: of itself, its classes, functions, methods and properties."""
    found = c_examples() if module == "crdtkv._core" else Finder().find(importlib.import_module(module), module)
    return [test for test in found if test.examples]


def c_examples() -> Iterator[doctest.DocTest]:
    """doctest does not look into types and functions of C; this does."""
    parser = doctest.DocTestParser()
    for name, thing in sorted(vars(importlib.import_module("crdtkv._core")).items()):
        docs = {name: getattr(thing, "__doc__", None)}
        if isinstance(thing, type):
            docs |= {f"{name}.{member}": getattr(value, "__doc__", None) for member, value in vars(thing).items()}
        for label, doc in docs.items():
            if isinstance(doc, str):
                yield parser.get_doctest(doc, {}, label, "crdtkv._core", 0)


def written() -> Iterator[tuple[str, str]]:
    """(where, docstring without its indent) for all docstrings with an example in the sources of the package."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                doc = ast.get_docstring(node)
                if doc is not None and ">>> " in doc:
                    yield f"{file.relative_to(PACKAGE)}: {getattr(node, 'name', 'module')}", doc


class Name(NamedTuple):
    """A public name."""

    module: str
    name: str
    thing: Any

    @property
    def members(self) -> Iterator[tuple[str, Any]]:
        """What a class has that is ours and public, as it stands in the class."""
        for name in dir(self.thing):
            owner = next((base for base in self.thing.__mro__ if name in vars(base)), None)
            if not name.startswith("_") and owner is not None and owner.__module__.split(".")[0] == "crdtkv":
                yield name, vars(owner)[name]


def public() -> list[Name]:
    """All public names, values left out, and the classes of GIVEN."""
    found = [(module, name) for module in PUBLIC for name in importlib.import_module(module).__all__]
    found += [(module, name) for name, module in GIVEN.items()]
    names = [Name(module, name, getattr(importlib.import_module(module), name)) for module, name in found]
    return [name for name in names if callable(name.thing) and not isinstance(name.thing, crdtkv.MISSING.__class__)]
