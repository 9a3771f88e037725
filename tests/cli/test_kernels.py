"""`gatelab kernels`: which cell is printed, and the cache as it is listed and emptied."""

import pytest

from gatelab.errors import UserError


@pytest.fixture
def printed(monkeypatch):
    """In place of the generator: prints which cell and number format it was asked for."""
    monkeypatch.setattr("gatelab.kernels.cpu.source", lambda cell, dtype: f"/* {cell} {dtype} */\n", raising=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["cifg"], "CIFG(peepholes=False, forget_bias=1.0) torch.float32"),
        (["cell=cifg", "cell.peepholes=true"], "CIFG(peepholes=True, forget_bias=1.0) torch.float32"),
        (["cifg", "--dtype", "float64", "cell.peepholes=true"], "CIFG(peepholes=True, forget_bias=1.0) torch.float64"),
        (["cell.forget_bias=2", "cifg"], "CIFG(peepholes=False, forget_bias=2.0) torch.float32"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_show(given, expected, gatelab, printed):
    assert gatelab("kernels", "show", *given) == (0, f"/* {expected} */\n", "")


def test_show_takes_plugins(gatelab, printed, plugin):
    status, out, _ = gatelab("kernels", "show", "damped", f"plugins=[{plugin}]", "cell.scale=2")
    assert status == 0
    assert "Damped(scale=2.0)" in out


def test_a_cell_that_cannot_be_printed(gatelab, monkeypatch):
    def refuse(cell, dtype):
        raise UserError("step branches in line 7.")

    monkeypatch.setattr("gatelab.kernels.cpu.source", refuse, raising=False)
    assert gatelab("kernels", "show", "lstm") == (2, "", "gatelab: step branches in line 7.\n")


def test_a_cell_that_breaks_its_own_declarations(gatelab, printed, plugin):
    plugin.write_text(plugin.read_text().replace('{"h": f', '{"y": f'))
    status, _, err = gatelab("kernels", "show", "damped", f"plugins=[{plugin}]")
    assert status == 2
    assert "step returns the state ['y']" in err


def test_list_and_clear(gatelab, monkeypatch, tmp_path):
    monkeypatch.setenv("GATELAB_CACHE", str(tmp_path))
    folder = tmp_path / "kernels"
    assert gatelab("kernels", "list") == (0, f"0 files, 0.0 MB in {folder}\n", "")
    assert not folder.exists()
    folder.mkdir()
    names = [f"lstm-{'0' * 16}-{'1' * 16}.so", f"gru-{'2' * 16}.log"]
    for name in names:
        (folder / name).write_bytes(bytes(150_000))
    (folder / "notes").write_text("mine")
    status, out, _ = gatelab("kernels", "list")
    assert status == 0
    assert all(name in out for name in names)
    assert "notes" not in out
    assert f"2 files, 0.3 MB in {folder}\n" in out
    assert gatelab("kernels", "clear") == (0, f"2 files, 0.3 MB removed from {folder}.\n", "")
    assert [path.name for path in folder.iterdir()] == ["notes"]
    assert gatelab("kernels", "clear") == (0, f"0 files, 0.0 MB removed from {folder}.\n", "")
