"""What C says of itself is what _core.pyi says; the package imports on its own."""

import ast
import inspect
import pathlib
import subprocess
import sys

import pytest

import crdtkv
from crdtkv import _core

STUB = ast.parse((pathlib.Path(crdtkv.__file__).parent / "_core.pyi").read_text())
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
SLOTS = {
    "__new__",
    "__eq__",
    "__hash__",
    "__len__",
    "__contains__",
    "__iter__",
    "__getitem__",
    "__setitem__",
    "__delitem__",
}
SLOTS |= {
    "__iter__",
    "__next__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__bool__",
    "__int__",
    "__index__",
    "__float__",
}
SLOTS |= {f"__{name}__" for name in ("neg", "pos", "abs", "invert", "iadd", "isub")}
SLOTS |= {
    f"__{side}{name}__"
    for side in ("", "r")
    for name in [
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "divmod",
        "pow",
        "lshift",
        "rshift",
        "and",
        "or",
        "xor",
    ]
}


def functions(body):
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def is_property(node):
    return any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)


def shape(args, skip_first):
    """[(name, kind, default or None)] of the arguments in a stub."""
    out = []
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + [ast.unparse(d) for d in args.defaults]
    for i, (arg, default) in enumerate(zip(positional, defaults)):
        kind = "positional" if i < len(args.posonlyargs) else "either"
        out.append((arg.arg, kind, default))
    out += [(args.vararg.arg, "rest", None)] if args.vararg else []
    out += [(a.arg, "keyword", d and ast.unparse(d)) for a, d in zip(args.kwonlyargs, args.kw_defaults)]
    return out[1:] if skip_first else out


def said(signature):
    kinds = {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
        inspect.Parameter.VAR_POSITIONAL: "rest",
    }
    return [
        (p.name, kinds[p.kind], None if p.default is p.empty else repr(p.default))
        for p in signature.parameters.values()
    ]


METHODS = [(c, name) for c, node in CLASSES.items() for name, f in functions(node.body).items() if not is_property(f)]


@pytest.mark.parametrize("class_name, name", METHODS)
def test_signature_of_a_method(class_name, name):
    method = getattr(getattr(_core, class_name), name)
    assert method.__doc__
    if name in SLOTS:
        return
    node = functions(CLASSES[class_name].body)[name]
    signature = inspect.signature(inspect.getattr_static(getattr(_core, class_name), name))
    is_class_method = any(isinstance(d, ast.Name) and d.id == "classmethod" for d in node.decorator_list)
    found = said(signature)
    if not is_class_method or (found and found[0][0] in ("self", "type")):
        found = found[1:]
    wanted = shape(node.args, True)
    assert [tuple(map(str, row)) for row in found] == [tuple(map(str, row)) for row in wanted]


@pytest.mark.parametrize("name", [node.name for node in STUB.body if isinstance(node, ast.FunctionDef)])
def test_signature_of_a_function(name):
    (node,) = [n for n in STUB.body if isinstance(n, ast.FunctionDef) and n.name == name]
    assert said(inspect.signature(getattr(_core, name))) == shape(node.args, False)


def test_signature_of_a_class():
    assert str(inspect.signature(crdtkv.Doc)) == "(identity=None, *, id=None, clock=None)"
    assert str(inspect.signature(crdtkv.Text)) == "(text='', /)"
    assert str(inspect.signature(_core.List)) == "(values=(), /)"
    assert str(inspect.signature(crdtkv.Counter)) == "(n=0)"


def test_all_is_in_the_stub_and_the_stub_is_all():
    public = {name for name in vars(_core) if not name.startswith("__")}
    stubbed = {node.name for node in STUB.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert public == stubbed
    for name, node in CLASSES.items():
        members = set(functions(node.body)) | {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
        there = {m for m in vars(getattr(_core, name)) if not m.startswith("__")}
        assert {m for m in members if not m.startswith("__")} - {"offset"} == there, name


def test_imports_on_its_own():
    root = str(pathlib.Path(crdtkv.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {root!r}); import crdtkv; print(crdtkv.Doc().to_py())"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{}\n" and not done.stderr


def test_all_is_all():
    assert sorted(crdtkv.__all__, key=str.lower) == sorted(set(crdtkv.__all__), key=str.lower)
    for name in crdtkv.__all__:
        assert hasattr(crdtkv, name)


def test_a_second_copy_of_the_module_has_its_own_types():
    import importlib.util

    spec = importlib.util.spec_from_file_location("crdtkv._core", _core.__file__)
    second = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(second)
    assert second.Text is not _core.Text and second.Error is not _core.Error
    t = second.Text("x")
    t.insert(1, "y")
    assert str(t) == "xy"
