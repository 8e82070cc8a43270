import builtins
import pickle
import re

import pytest

import crdtkv as ck
from crdtkv import _core, errors


def test_tree():
    bases = {
        "DecodeError": ValueError,
        "SignatureError": None,
        "UnauthorizedError": None,
        "StaleHandleError": None,
        "ForkError": None,
        "LimitError": None,
        "StoreError": OSError,
        "ClockDriftError": None,
        "SyncError": None,
    }
    assert issubclass(ck.Error, Exception)
    for name, second in bases.items():
        error = getattr(ck, name)
        assert issubclass(error, ck.Error) and (second is None or issubclass(error, second))
        assert error.__module__ == "crdtkv" and error.__doc__
        assert error is getattr(errors, name) is getattr(_core, name)
        assert type(pickle.loads(pickle.dumps(error("x")))) is error


def test_the_tree_is_as_it_is_drawn():
    drawn, above = {}, []
    for space, name, also in re.findall(r"^    ( *)(\w+Error|Error)(?: \(also an? (\w+)\))?$", errors.__doc__, re.M):
        depth = len(space) // 4
        above[depth:] = [name]
        error = getattr(errors, name)
        drawn[name] = error
        first = getattr(errors, above[depth - 1]) if depth else Exception
        assert error.__bases__ == (first, *([getattr(builtins, also)] if also else [])), name
    assert sorted(drawn) == sorted(errors.__all__)


def test_decode_error_tells_where():
    doc = ck.Doc()
    with pytest.raises(ck.DecodeError) as caught:
        doc.apply(b"nonsense")
    assert isinstance(caught.value.offset, int) and str(caught.value)
