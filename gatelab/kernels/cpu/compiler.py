"""The C compiler of this machine: its path, its target and how it is called."""

import contextlib
import functools
import os
import platform
import shutil
import subprocess
from pathlib import Path

FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-pthread")
NATIVE = ("-march=native", "-mcpu=native")  # the first that the compiler accepts; older clang on arm knows only the second
LIBRARIES = ("-lm",)  # after the source, where linkers look for them

INSTALL = "on Debian or Ubuntu apt-get install gcc libc6-dev, on Fedora dnf install gcc, on macOS xcode-select --install"


class BuildError(RuntimeError):
    """A kernel cannot be compiled or loaded here. The message is one sentence: what is wrong and what to do."""


class CompilerError(Exception):
    """The compiler ended with an error. `log` is its command line and its whole output, `first` the first error."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        said = [line.strip() for line in log.splitlines()[1:] if line.strip() and "collect2:" not in line] or ["it printed nothing"]
        self.log, self.first = log, next((line for line in said if "error:" in line), said[-1])


def compiler() -> str | None:
    """The path of the C compiler: `CC`, which must be a single program, otherwise the first of cc, gcc and clang on PATH."""
    wanted = os.environ.get("CC")
    found = next(filter(None, map(shutil.which, (wanted,) if wanted else ("cc", "gcc", "clang"))), None)
    return None if found is None else os.path.abspath(found)  # it is called from another folder


def require_compiler() -> str:
    """The path of the C compiler.

    Raises:
        BuildError: it is missing; the message says how to install one.
    """
    program = compiler()
    if program is not None:
        return program
    if wanted := os.environ.get("CC"):
        raise BuildError(f"CC is '{wanted}', but this program does not exist; set it to the path of a C compiler or unset it.")
    raise BuildError(f"There is no C compiler on PATH; install one: {INSTALL}.")


@functools.cache
def compiler_version(program: str) -> str:
    """The first line of `--version`.

    Raises:
        BuildError: the program does not run; on macOS it may be a stub for missing command line tools.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)
    except OSError as error:
        raise BuildError(f"The C compiler '{program}' does not run ({error.strerror}); install one: {INSTALL}.") from error
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it printed nothing"]
    if done.returncode:
        raise BuildError(f"The C compiler '{program}' does not run ({said[0].rstrip('.')}); install one: {INSTALL}.")
    return said[0]


@functools.cache
def cpu_features() -> str:
    """What determines the code of `-march=native`: machine, model and feature flags, in a stable order."""
    if platform.system() == "Darwin":
        command = ["sysctl", "hw.optional", "machdep.cpu"]
        with contextlib.suppress(OSError):
            said = subprocess.run(command, capture_output=True, text=True, errors="replace").stdout
            return "\n".join([platform.machine(), *sorted(said.splitlines())])
        return platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    return "\n".join([platform.machine(), *_features(text)])


def _features(cpuinfo: str) -> list[str]:
    """The lines of the first processor that name its model and its features, without frequencies and numbers."""
    lines = {}
    for line in cpuinfo.partition("\n\n")[0].splitlines():
        label, _, value = line.partition(":")
        if label.strip() in ("flags", "Features"):
            value = " ".join(sorted(value.split()))
        lines[label.strip()] = value.strip()
    kept = ("vendor_id", "cpu family", "model", "model name", "CPU implementer", "CPU part", "flags", "Features", "isa")
    return [f"{label}: {lines[label]}" for label in kept if label in lines]


def run_compiler(program: str, work: Path, stem: str, source: str, flags: tuple[str, ...]) -> Path:
    """Compiles one C source.

    Args:
        program: the compiler.
        work: an empty folder for all files.
        stem: the stem of their names.
        source: the C.
        flags: further flags, after `FLAGS`.

    Returns:
        The library, in `work`.

    Raises:
        OSError: the folder cannot be written, or the program is gone.
        CompilerError: the compiler ended with an error.
    """
    # Relative names: the library must not depend on the folder, so that every process that compiles it writes the same bytes.
    (work / f"{stem}.c").write_text(source, encoding="utf-8")
    command = [program, *FLAGS, *_native(program), *flags, f"{stem}.c", "-o", f"{stem}.so", *LIBRARIES]
    # English messages for `CompilerError.first`; intermediate files go to the folder that must have room for the result, too.
    environment = os.environ | {"LC_ALL": "C", "TMPDIR": str(work)}
    done = subprocess.run(
        command, cwd=work, env=environment, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise CompilerError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return work / f"{stem}.so"


@functools.cache
def _native(program: str) -> tuple[str, ...]:
    """The flag for code of this machine, or nothing if the compiler has no such flag."""
    for flag in NATIVE:
        command = [program, flag, "-fsyntax-only", "-x", "c", os.devnull]
        if not subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode:
            return (flag,)
    return ()
