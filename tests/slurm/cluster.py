"""A Slurm of one node on the loopback address, started for a test and stopped by process id.

Job steps look for the configuration in its standard place, /etc/slurm, and munge for its key there; both are
put back as they were at the end. Root only.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
CONFIG, GRES = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
# Ports besides Slurm's own, so that a cluster this computer belongs to is left alone.
CONTROLLER_PORT, NODE_PORT = 26817, 26818


def missing():
    """What keeps this computer from running the tests, in words; empty if nothing does."""
    if absent := [name for name in PROGRAMS if _program(name) is None]:
        return f"no {', '.join(absent)}: apt-get install slurm-wlm munge"
    if os.geteuid():
        return "needs root: slurmd starts jobs for other users"
    if CONFIG.exists() or GRES.exists():
        return f"{CONFIG} exists: this computer has a Slurm of its own, which the test would disturb"
    return ""


def _program(name):
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Cluster:
    """A running Slurm."""

    def __init__(self, folder, cores):
        self.folder, self.cores = folder, cores
        self.processes = {}

    def start(self):
        """Start munged, slurmctld and slurmd, and wait until the node is idle."""
        host = socket.gethostname().split(".")[0]
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        CONFIG.write_text(self._config(host))
        # A GPU to ask for, though there is none: what a job asks for can be seen, not used.
        GRES.write_text("Name=gpu File=/dev/null\n")
        (self.folder / "munge").mkdir(mode=0o700)
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        socket_path = self.folder / "munge/socket"
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_path}",
            f"--pid-file={self.folder}/munge/pid", f"--log-file={self.folder}/munge/log",
            f"--seed-file={self.folder}/munge/seed",
        )  # fmt: skip
        _until(socket_path.exists, "munged")
        self._start("slurmctld", "-D", "-i")
        self.start_node()

    def start_node(self):
        """Start slurmd, again after it was killed."""
        self._start("slurmd", "-D", "-N", socket.gethostname().split(".")[0])
        _until(self.idle, "the node", seconds=180)  # a lost one is looked for in rounds

    def _start(self, name, *arguments):
        log = (self.folder / f"{name}.log").open("a")
        with log:
            self.processes[name] = subprocess.Popen(
                [_program(name), *arguments], stdout=log, stderr=log, start_new_session=True
            )

    def _config(self, host):
        folder = self.folder
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
        return f"""\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={CONTROLLER_PORT}
SlurmdPort={NODE_PORT}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=2
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Gres=gpu:1 CPUs={self.cores} RealMemory={memory - 1000} State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

    def idle(self):
        """Whether the node takes jobs."""
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        return done.stdout.strip() in ("idle", "mixed", "allocated")

    def jobs(self):
        """Identifiers of running jobs."""
        done = subprocess.run(
            ["squeue", "-h", "-t", "RUNNING", "-o", "%A"], capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    def wait_for_job(self):
        """Identifier of a job that runs."""
        _until(self.jobs, "a running job", seconds=120)
        return self.jobs()[0]

    def cancel(self, job):
        """Cancel a job, as a user or an administrator does."""
        subprocess.run(["scancel", job], check=True)

    def kill_node(self):
        """Kill slurmd, its job steps and their jobs, as when a node goes down."""
        steps = self._steps()
        process = self.processes.pop("slurmd")
        process.kill()
        process.wait(20)
        for pid in steps:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _steps(self):
        """Process ids of running jobs, and of the job steps they are children of."""
        done = subprocess.run(["scontrol", "listpids"], capture_output=True, text=True, check=False)
        found = set()
        for line in done.stdout.splitlines()[1:]:
            pid = int(line.split()[0])
            with contextlib.suppress(OSError):
                parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
                if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                    found.add(parent)
            found |= {pid, *_descendants(pid)}
        return sorted(found)

    def stop(self):
        """Stop everything that was started, by process id, and put the configuration back."""
        for job in self.jobs():
            self.cancel(job)
        for name in ("slurmd", "slurmctld", "munged"):
            if process := self.processes.get(name):
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(20)
        CONFIG.unlink(missing_ok=True)
        GRES.unlink(missing_ok=True)


def _descendants(pid):
    """Process ids below a process, deepest last."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _until(true, what, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come up in {seconds} s")
        time.sleep(0.2)


@contextlib.contextmanager
def cluster(cores=2):
    """A running cluster, stopped when the block ends."""
    # A short path: sockets have room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        made = Cluster(Path(folder), cores)
        for name in ("state", "spool"):
            (made.folder / name).mkdir()
        try:
            made.start()
            yield made
        finally:
            made.stop()
