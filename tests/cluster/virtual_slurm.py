"""A real Slurm on this machine: a controller, accounting, and nodes with host names of their own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from cluster.hosts import kill_host, on_host, until

NODES = ("gl1", "gl2")
PROGRAMS = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "unshare")

# cred_expire is also how long a requeued job is held back.
CONFIGURATION = """\
ClusterName=gatelab
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
SlurmdTimeout=10
KillWait=10
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool.%n
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.%n.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.%n.log
AccountingStorageType=accounting_storage/{accounting}
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=urgent Nodes=ALL PriorityTier=10 MaxTime=INFINITE State=UP OverSubscribe=NO
"""
NODE = "NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=6000 State=UNKNOWN"
ACCOUNTING = """\
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=gatelab_slurm
LogFile={base}/slurmdbd.log
PidFile={base}/slurmdbd.pid
"""


class Slurm:
    """Starts at once and runs until `stop`.

    Args:
        base: an empty folder for its state and logs.
        accounting: whether with slurmdbd and its database.
    """

    def __init__(self, base: Path, accounting: bool = True) -> None:
        self.base, self.accounting = base, accounting
        self._database: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        (self.base / "state").mkdir(parents=True)
        hosts = Path("/etc/hosts")
        missing = [name for name in NODES if name not in hosts.read_text().split()]
        if missing:
            hosts.write_text(f"{hosts.read_text()}127.0.0.1 {' '.join(missing)}\n")
        nodes = "\n".join(NODE.format(name=name, port=17001 + place) for place, name in enumerate(NODES))
        values = {"host": socket.gethostname().partition(".")[0], "base": self.base, "nodes": nodes}
        kind = "slurmdbd\nAccountingStorageHost=localhost" if self.accounting else "none"
        folder = Path("/etc/slurm")
        folder.mkdir(exist_ok=True)
        (folder / "slurm.conf").write_text(CONFIGURATION.format(accounting=kind, **values))
        for name, user in (("munge", "munge"), ("mysqld", "mysql")):
            Path("/run", name).mkdir(exist_ok=True)
            shutil.chown(Path("/run", name), user, user)
            Path("/run", name).chmod(0o755)
        self._munged = not _works("munge", "-n")
        if self._munged:
            _run("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged")
        if self.accounting:
            self._start_accounting(folder)
        _run("slurmctld", "-c")
        for name in NODES:
            self.start_node(name)
        until(
            lambda: _says("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == ["idle"] * len(NODES), "the nodes are idle", 60
        )

    def _start_accounting(self, folder: Path) -> None:
        if not _works("mariadb-admin", "ping"):
            user = ["setpriv", "--reuid=mysql", "--regid=mysql", "--clear-groups"]
            with open(self.base / "mariadb.log", "wb") as log:
                self._database = subprocess.Popen(
                    [*user, "mariadbd", "--skip-networking", "--innodb-buffer-pool-size=64M"], stdout=log, stderr=log
                )
            until(lambda: _works("mariadb-admin", "ping"), "MariaDB answers")
        _run("mariadb", "-e", "drop database if exists gatelab_slurm; create database gatelab_slurm")
        file = folder / "slurmdbd.conf"
        file.write_text(ACCOUNTING.format(base=self.base))
        file.chmod(0o600)
        _run("slurmdbd")
        until(lambda: "started" in _read(self.base / "slurmdbd.log"), "slurmdbd has started")

    def start_node(self, name: str) -> None:
        """Starts the daemon of a node, under the host name that it would have elsewhere."""
        _run(*on_host(name), "slurmd", "-N", name)

    def kill_node(self, name: str) -> None:
        """As if its power was cut: the daemon and everything that it started are killed."""
        kill_host(int(_read(self.base / f"slurmd.{name}.pid")))

    def log(self) -> str:
        """What the daemons wrote, for a test that failed."""
        return "\n".join(f"== {path.name}\n{_read(path)[-4000:]}" for path in sorted(self.base.glob("*.log")))

    def stop(self) -> None:
        """Ends everything that this object started."""
        _works("scancel", "--user=root")
        _end(*(self.base / f"{name}.pid" for name in [*(f"slurmd.{node}" for node in NODES), "slurmctld"]))
        _end(self.base / "slurmdbd.pid")  # has heard it all now
        if self._database is not None:
            _works("mariadb", "-e", "drop database if exists gatelab_slurm")
            _works("mariadb-admin", "shutdown")
            self._database.wait(30)
        if getattr(self, "_munged", False):
            _end(Path("/run/munge/munged.pid"))


def _end(*files: Path) -> None:
    """Stops the daemons with these files, together; kills what is left of them after ten seconds."""
    left = [int(pid) for file in files if (pid := _read(file).strip()).isdecimal()]
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [pid for pid in left if _sent(pid, number)]
        deadline = time.monotonic() + 10
        while left and time.monotonic() < deadline:
            time.sleep(0.1)
            left = [pid for pid in left if _sent(pid, 0)]


def _sent(pid: int, number: int) -> bool:
    """Whether there is a process to send it to."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _says(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
