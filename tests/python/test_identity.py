import copy
import os
import pickle
import stat

import pytest

import crdtkv as ck


def test_seed_gives_the_same_key_every_time():
    a, b = ck.Identity.from_seed(bytes(range(32))), ck.Identity.from_seed(bytearray(range(32)))
    assert a.public_key == b.public_key and len(a.public_key) == 32
    assert a == b and hash(a) == hash(b) and a != ck.Identity.generate()
    # RFC 8032, test 1
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert ck.Identity.from_seed(seed).public_key.hex() == key


def test_seed_of_another_length_or_type():
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError):
            ck.Identity.from_seed(wrong)
    with pytest.raises(TypeError):
        ck.Identity.from_seed("x" * 32)
    with pytest.raises(TypeError):
        ck.Identity()


def test_two_generated_ones_differ():
    assert ck.Identity.generate() != ck.Identity.generate()
    assert ck.Identity.generate() != 5


def test_secret_shows_nowhere():
    seed = bytes(range(100, 132))
    me = ck.Identity.from_seed(seed)
    assert me.public_key.hex()[:16] in repr(me) and seed.hex() not in repr(me)
    assert len(repr(me)) < 40
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(me, protocol)
    assert copy.copy(me) is me and copy.deepcopy(me) is me
    assert not [name for name in dir(me) if ("seed" in name and name != "from_seed") or "secret" in name]


@pytest.mark.parametrize("password", [None, "päss", b"raw"])
def test_save_and_load(tmp_path, password):
    me = ck.Identity.generate()
    path = tmp_path / "me.key"
    me.save(path, password=password)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path) == ["me.key"]
    assert ck.Identity.load(path, password=password) == me
    assert ck.Identity.load(str(path), password) == me
    assert type(ck.Identity.load(path, password)) is ck.Identity


def test_wrong_password(tmp_path):
    path = tmp_path / "me.key"
    ck.Identity.generate().save(path, "right")
    for wrong in ("wrong", "", None):
        with pytest.raises(ck.DecodeError):
            ck.Identity.load(path, wrong)
    ck.Identity.generate().save(path)
    with pytest.raises(ck.DecodeError):
        ck.Identity.load(path, "one that is not needed")


def test_save_replaces_and_narrows(tmp_path):
    path = tmp_path / "me.key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    me = ck.Identity.generate()
    me.save(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and ck.Identity.load(path) == me


@pytest.mark.parametrize("there", [b"a letter", None, "secret"])
def test_a_file_that_is_there_may_be_spared(tmp_path, there):
    """Bytes that are no key file; or one with a password, or without."""
    path = tmp_path / "me.key"
    if isinstance(there, bytes):
        path.write_bytes(there)
    else:
        ck.Identity.generate().save(path, there, overwrite=False)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"stays as it is.*me\.key") as caught:
        ck.Identity.generate().save(path, overwrite=False)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["me.key"]
    dangling = tmp_path / "link.key"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        ck.Identity.generate().save(dangling, overwrite=False)


def test_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "me.key"
    first = ck.Identity.generate()
    first.save(path)

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        ck.Identity.generate().save(path)
    assert os.listdir(tmp_path) == ["me.key"] and ck.Identity.load(path) == first


def test_damaged_file(tmp_path):
    path = tmp_path / "me.key"
    ck.Identity.generate().save(path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole + b"x", b"\0" + whole[1:], whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]):
        path.write_bytes(damaged)
        with pytest.raises(ck.DecodeError):
            ck.Identity.load(path)
    with pytest.raises(FileNotFoundError):
        ck.Identity.load(tmp_path / "none.key")


def test_subclass():
    class Mine(ck.Identity):
        pass

    assert type(Mine.generate()) is Mine and type(Mine.from_seed(bytes(32))) is Mine
    assert Mine.from_seed(bytes(32)) == ck.Identity.from_seed(bytes(32))
