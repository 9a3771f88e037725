"""What is compiled, by what, and what a failure says."""

import re

import pytest
from kernels.processes import LOAD, Said, run

from gatelab.kernels.cpu import build, compiler

# The key.


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "build.cpu_features = lambda: 'another processor'",
        "build.compiler_version = lambda program: 'another version'",
        "source += ' '",
        "load = lambda: build.load(source, name, ('-DX',))",
        "build.FORMAT += 1",
    ],
)
def test_what_decides_the_code_is_in_the_key(code, cache):
    run()
    assert run(f"{code}; {LOAD}") == Said("42", "")
    assert len(list(cache.glob("*.so"))) == 2


def test_features_are_those_of_the_processor_and_not_its_clock():
    first = "processor: 0\nmodel name: A B\ncpu MHz: 2000.0\nflags: avx2 sse fma\n\nprocessor: 1\nflags: none"
    later = "processor: 0\nmodel name: A B\ncpu MHz: 3500.0\nflags: sse avx2 fma\n"
    assert compiler._features(first) == compiler._features(later) == ["model name: A B", "flags: avx2 fma sse"]
    assert compiler._features(first) != compiler._features(first.replace("fma", "avx512f"))


def test_features_of_this_processor():
    assert len(build.cpu_features().splitlines()) > 1


# The compiler.


@pytest.mark.slow
@pytest.mark.parametrize("cc", [None, "no-such-compiler", "cc -m64"])
def test_without_a_compiler(cc, cache, monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    if cc is None:
        monkeypatch.setenv("PATH", "")
    else:
        monkeypatch.setenv("CC", cc)
    out, err = run()
    assert err == ""
    assert out.startswith("BuildError: ")
    assert len(out.splitlines()) == 1
    for text in ("apt-get install gcc", "dnf install gcc", "xcode-select --install") if cc is None else (f"'{cc}'",):
        assert text in out
    assert not cache.exists()


@pytest.mark.slow
def test_a_compiler_that_does_not_run(cache, wrap):
    wrap("echo 'note: no developer tools were found.' >&2; exit 1")
    out, _ = run()
    assert out.startswith("BuildError: ")
    assert "no developer tools were found" in out
    assert "xcode-select --install" in out


@pytest.mark.slow
def test_a_compiler_without_native_code(cache, wrap):
    wrap('case "$*" in *=native*) echo "error: unknown option" >&2; exit 1;; esac')
    assert run() == Said("42", "")


@pytest.mark.slow
def test_a_source_that_does_not_compile(cache, wrap):
    compilations = wrap()
    code = "for _ in range(3):\n    try: load()\n    except build.BuildError as error: print(error)"
    out, err = run(code, "int answer(void)\n{ return question; }")
    assert err == ""
    first, *others = out.splitlines()
    assert others == [first] * 2
    assert compilations() == 2  # in the cache folder and, should that be the reason, elsewhere; then never again
    assert re.search(r"answer-[0-9a-f]{16}\.c:2:\d+: error: .?question.? undeclared", first)
    source, log = sorted(cache.iterdir())
    assert f"{source}, {log}." in first
    assert "{ return question; }" in source.read_text()
    assert "-O3" in log.read_text()
    assert "question" in log.read_text()


@pytest.mark.slow
def test_trial(cache):
    assert 0 < float(run("print(build.trial())").out) < 300
    assert not cache.exists()


# Threads and forks.


@pytest.mark.slow
def test_threads_compile_once(cache, wrap):
    compilations = wrap("sleep 0.2")
    code = """
found = []
threads = [threading.Thread(target=lambda: found.append(load())) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(found), len(set(map(id, found))))
"""
    assert run(code).out == "8 1"
    assert compilations() == 1


@pytest.mark.slow
def test_a_forked_child_is_not_locked_out(cache):
    code = """
build._lock.acquire()  # as a thread that compiles while another forks
child = os.fork()
if child == 0:
    print(load().answer(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run(code).out == "42"
