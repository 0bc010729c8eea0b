"""hr.io.gfile against TensorFlow's, on local files, and on a remote file system in memory."""

import contextlib

import pytest

import headrace as hr

gfile = hr.io.gfile


def scenario(g, root):
    """What a run of all functions sees, as plain values."""
    seen = []
    with contextlib.suppress(Exception):
        g.makedirs(g.join(root, "sub", "deep"))
    with g.GFile(g.join(root, "a.txt"), "w") as f:
        f.write("one\ntwo\n")
    with g.GFile(g.join(root, "a.txt"), "a") as f:
        f.write("three é")
    with g.GFile(g.join(root, "sub", "b.bin"), "wb") as f:
        f.write(bytes(range(10)))
    with g.GFile(g.join(root, "a.txt")) as f:
        seen += [f.readline(), f.read(2), f.tell(), f.read(), f.size()]
        f.seek(4)
        seen += [f.readlines(), list(f)]
    with g.GFile(g.join(root, "sub", "b.bin"), "rb") as f:
        f.seek(3)
        seen += [f.read(2), f.read(), f.read()]
    g.copy(g.join(root, "a.txt"), g.join(root, "c.txt"))
    g.rename(g.join(root, "c.txt"), g.join(root, "d.txt"))
    seen += [g.exists(g.join(root, name)) for name in ("a.txt", "c.txt", "d.txt", "sub", "no")]
    seen += [g.isdir(g.join(root, name)) for name in ("a.txt", "sub", "no")]
    seen.append(sorted(p.rpartition("/")[2] for p in g.glob(g.join(root, "*.txt"))))
    seen.append(sorted(n.rstrip("/") for n in g.listdir(root)))
    seen.append(g.stat(g.join(root, "sub", "b.bin")).length)
    walked = [(top[len(root) :].strip("/"), sorted(files)) for top, _, files in g.walk(root)]
    seen.append([w for w in walked if w[1]])
    g.remove(g.join(root, "d.txt"))
    seen.append(g.exists(g.join(root, "d.txt")))
    g.rmtree(g.join(root, "sub"))
    seen.append(g.exists(g.join(root, "sub", "b.bin")))
    return seen


def test_local_files_are_tensorflows(tf, tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours = scenario(gfile, str(tmp_path / "ours"))
    theirs = scenario(tf.io.gfile, str(tmp_path / "theirs"))
    assert ours == theirs


def test_remote_files_are_as_local_ones(tmp_path):
    pytest.importorskip("fsspec")
    (tmp_path / "local").mkdir()
    assert scenario(gfile, "memory://bucket/root") == scenario(gfile, str(tmp_path / "local"))


def test_errors(tmp_path):
    path = str(tmp_path / "x")
    for fails in (gfile.remove, gfile.rmtree, gfile.stat, gfile.listdir):
        with pytest.raises(hr.errors.NotFoundError):
            fails(path)
    with pytest.raises(hr.errors.NotFoundError):
        gfile.GFile(path).read()
    with gfile.GFile(path, "w") as f:
        f.write("1")
        with pytest.raises(hr.errors.PermissionDeniedError, match="reading"):
            f.read()
    with gfile.GFile(path + "2", "w"):
        pass
    assert gfile.exists(path + "2")
    with pytest.raises(hr.errors.AlreadyExistsError):
        gfile.copy(path, path + "2")
    gfile.copy(path, path + "2", overwrite=True)
    with pytest.raises(hr.errors.AlreadyExistsError):
        gfile.rename(path, path + "2")
    gfile.rename(path, path + "2", overwrite=True)
    assert not gfile.exists(path)
    with pytest.raises(hr.errors.AlreadyExistsError):
        gfile.mkdir(str(tmp_path))
    with pytest.raises(hr.errors.InvalidArgumentError, match="mode"):
        gfile.GFile(path, "x")


def test_join_of_urls():
    assert gfile.join("s3://b/a", "c", "d") == "s3://b/a/c/d"
    assert gfile.join("a", "/b", "c") == "/b/c"
    assert gfile.join("s3://b/a", "s3://c/d", "e") == "s3://c/d/e"
