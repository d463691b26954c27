"""A simulated host: namespaces around real services, a disk of its own, and a power supply."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import uuid

from . import net
from .bmc import Bmc
from .cgroup import Cgroup
from .loop import Disk
from .shell import LabError, locked, run, wait_until

HERE = pathlib.Path(__file__).resolve().parent.parent
DISK_MIB = 1024

LIBVIRTD_CONF = """listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
"""

CLUSTERD_CONF = """\
# Plain TCP, in the lab only: real hosts migrate over SSH, the default.
migration_uri = qemu+tcp://%s/system
"""
QEMU_CONF = """user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = []
security_driver = "none"
namespaces = []
"""

# Between real hosts a migration goes through ssh; plain TCP is for the lab only.
CLUSTERD_CONF = "migration_uri = qemu+tcp://%s/system\n"

# name, restarted after a death, says READY=1, after, command
SERVICES = """corosync no yes - /usr/sbin/corosync -f
virtlogd yes no - /usr/sbin/virtlogd
libvirtd yes yes virtlogd /usr/sbin/libvirtd --listen
clusterd yes yes corosync,libvirtd /usr/sbin/clusterd -f
"""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Host:
    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, f"node{number}"
        self.dir = lab.dir / self.name
        self.disk = Disk(self.dir / "disk.img")
        self.cgroup = Cgroup(f"{lab.id}/{self.name}")
        self.bmc = Bmc(lab, self.name, number)

    def create(self):
        for name in ("conf", "log"):
            (self.dir / name).mkdir(parents=True)
        self._write("netns", f"{self.lab.network.path}\n")
        self._write("lab", f"{HERE / 'lab'}\n")
        self._write("lock", "")
        self._write("power", "off\n")
        self._write("conf/hostname", f"{self.name}\n")
        self._write("conf/machine-id", f"{uuid.uuid4().hex}\n")
        self._write("conf/hosts", self.lab.hosts_file())
        self._write("conf/address", f"{net.host_address(self.number)}/{net.PREFIX}\n")
        self._write("conf/corosync.conf", self.lab.corosync_conf())
        self._write("conf/libvirtd.conf", LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
        self._write("conf/qemu.conf", QEMU_CONF)
        self._write("conf/clusterd.conf", CLUSTERD_CONF)
        self._write("conf/services", self._services())
        if not self.lab.kvm:
            self._write("conf/no-kvm", "")
        if not self.lab.clusterd:
            self._write("conf/bind-volumes", "")
        self.disk.create(DISK_MIB, 8192)

    def _write(self, name, text):
        (self.dir / name).write_text(text, encoding="ascii")

    def _services(self):
        lines = SERVICES.splitlines(keepends=True)
        if not self.lab.vms:
            lines = [line.replace(",libvirtd", "") for line in lines if not line.startswith(("libvirtd", "virtlogd"))]
        if not self.lab.clusterd:
            lines = [line for line in lines if not line.startswith("clusterd")]
        return "".join(lines)

    def pid(self):
        """Its PID 1 as the machine sees it, or None when it is dead."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.dir / "pid").read_text(encoding="ascii"))
            if os.path.exists(f"/proc/{pid}/root/run/lab"):
                return pid
        return None

    def power_on(self):
        """Boots it; fine when it runs already. Returns when its services have been told to start."""
        with locked(self.dir / "lock"):
            if self.pid():
                return
            self.bmc.start()
            self.disk.wait_unmounted()
            self._write("power", "on\n")
            self._write("conf/boot_id", f"{uuid.uuid4()}\n")
            self._boot()

    def _boot(self):
        command = [self.lab.tool("lab-spawn"), self.dir, self.cgroup.path, HERE / "host/boot", self.lab.dir, self.name,
                   self.disk.device(), self.lab.tool("lab-init"), *self.lab.volume_devices()]
        self.cgroup.create()
        self.cgroup.thaw()  # it may have been frozen when it died
        with open(self.dir / "console.log", "a", encoding="ascii") as console:
            spawn = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=console, text=True, start_new_session=True, cwd="/",
                                     env={"PATH": PATH, "LANG": "C.UTF-8"}, preexec_fn=self.lab.outside.enter)
        pid = spawn.stdout.readline().strip()
        if not pid:
            raise LabError(f"{self.name} does not boot: see {self.dir}/console.log")
        self._write("pid", f"{pid}\n")
        self.lab.network.plug(self.name, self.number, pid)
        spawn.stdin.write("\n")
        spawn.stdin.close()
        wait_until(f"{self.name} boots (see {self.dir}/console.log)",
                   lambda: os.path.exists(f"/proc/{pid}/root/run/lab/init.sock") or spawn.poll() is not None, 20, 0.01)
        if spawn.poll() is not None:
            raise LabError(f"{self.name} died at its boot: see {self.dir}/console.log")

    def crash(self, off=False, cord=False):
        self.lab.cut([self])
        if off:
            self._write("power", "off\n")
        if cord:
            self.bmc.kill()

    def freeze(self):
        self.need_running()
        self.cgroup.freeze()

    def thaw(self):
        self.need_running()
        self.cgroup.thaw()

    def shutdown(self):
        """An orderly one: services stop in order, then the power goes off."""
        pid = self.pid()
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(f"{self.name} shuts down", lambda: not self.pid(), 180)
        self._write("power", "off\n")

    def need_running(self):
        if not self.pid():
            raise LabError(f"{self.name} is not running")

    def need_awake(self):
        self.need_running()
        if self.cgroup.frozen():
            raise LabError(f"{self.name} is frozen")

    def _enter(self, command):
        self.need_awake()
        return ["nsenter", "--target", str(self.pid()), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd",
                "--", *[str(word) for word in command]]

    def exec(self, command):
        """Becomes COMMAND on the host."""
        words = self._enter(command)
        self.cgroup.enter()
        sys.stdout.flush()
        os.execvpe(words[0], words, {**os.environ, "PATH": PATH, "HOME": "/root"})

    def run(self, *command, check=True, deadline_s=30, **options):
        """Runs COMMAND on the host and returns the finished process."""
        return run(*self._enter(command), check=check, deadline_s=deadline_s, preexec_fn=self.cgroup.enter, **options)

    def file(self, path):
        """A path on the host as the machine reaches it."""
        return pathlib.Path(f"/proc/{self.pid()}/root{path}")

    def init(self, *words):
        """One command to its PID 1, and the answer."""
        self.need_awake()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(str(self.file("/run/lab/init.sock")))
            sock.sendall(" ".join(words).encode())
            sock.shutdown(socket.SHUT_WR)
            return sock.makefile().read()

    def services(self):
        """{name: (state, pid inside the host, starts)}"""
        rows = [line.split() for line in self.init("status").splitlines()]
        return {name: (state, int(pid), int(starts)) for name, state, pid, starts in rows}

    def service(self, name, verb):
        """start, stop (orderly), kill (SIGKILL; it stays down) or restart; returns when it is done."""
        if verb == "restart":
            self.service(name, "stop")
            verb = "start"
        refusal = self.init(verb, name)
        if refusal:
            raise LabError(f"{self.name}: {refusal.strip()}")
        wanted = "ready" if verb == "start" else "stopped"
        wait_until(f"{name} on {self.name} is {wanted}", lambda: self.services()[name][0] == wanted, 60)

    def wait_ready(self):
        wait_until(f"the services of {self.name} are ready (see {self.dir}/log)",
                   lambda: all(state == "ready" for state, _, _ in self.services().values()), 60)
