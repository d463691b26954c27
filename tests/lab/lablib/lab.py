"""One lab: its folder, its hosts, its network, and what runs outside the hosts."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from . import cluster, guest, net
from .cgroup import Cgroup
from .collector import ask
from .host import Host
from .loop import Disk, detach_below
from .shell import LabError, locked, run, wait_until

BASE = pathlib.Path("/var/tmp/clusterd-lab")
CACHE = pathlib.Path("/var/cache/clusterd-lab")
HERE = pathlib.Path(__file__).resolve().parent
SOURCE = pathlib.Path(__file__).resolve().parents[3]
VOLUME_MIB = 16384

COROSYNC_CONF = """totem {{
  version: 2
  cluster_name: {name}
  token_coefficient: 0
{transport}}}
quorum {{
  provider: corosync_votequorum
}}
logging {{
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: hires
}}
nodelist {{
{nodes}}}
"""

FAST = """  transport: knet
  token: 300
  interface {
    linknumber: 0
    knet_ping_interval: 200
    knet_ping_timeout: 2000
    knet_pong_count: 1
  }
"""

# On two cores many hosts cannot pass a token in 300 ms, nor lock 200 MB each, as real-time scheduling does.
LARGE = """  transport: udpu
  token: 5000
}
system {
  sched_rr: no
"""
LARGE_FROM = 10

NODE = """  node {{
    nodeid: {number}
    name: node{number}
    ring0_addr: {address}
  }}
"""


class Lab:
    def __init__(self, name=None):
        self.name = name or os.environ.get("LAB", "lab")
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,15}", self.name):
            raise LabError(f"bad lab name '{self.name}' (a-z, 0-9 and -, at most 16)")
        self.id = f"clusterd-lab-{self.name}"
        self.dir = BASE / self.name
        self.network = net.Network(self.id)
        self.cgroup = Cgroup(self.id)
        self.outside = Cgroup(f"{self.id}/outside")
        self.settings = {}
        self.hosts = []
        if (self.dir / "lab.json").exists():
            self._configure(json.loads((self.dir / "lab.json").read_text(encoding="ascii")))

    def _configure(self, settings):
        self.settings = settings
        self.vms, self.clusterd, self.kvm = settings["vms"], settings["clusterd"], settings["kvm"]
        self.build = pathlib.Path(settings["build"])
        self.volumes = [Disk(self.dir / f"vol{number}.img") for number in range(1, settings["volumes"] + 1)]
        self.hosts = [Host(self, number) for number in range(1, settings["nodes"] + settings.get("spare", 0) + 1)]

    def need_up(self):
        if not self.hosts:
            raise LabError(f"lab '{self.name}' is not up (lab up)")

    def host(self, name):
        self.need_up()
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"no host '{name}'; there are {', '.join(host.name for host in self.hosts)}")

    def running_hosts(self):
        return [host for host in self.hosts if host.pid()]

    def any_host(self):
        for host in self.running_hosts():
            return host
        raise LabError("no host is running")

    # ---- what the hosts need ----

    def tool(self, name):
        return self.build / "tests/lab" / name

    def _installed(self, path):
        return (self.dir / "stage/usr" / path).exists()

    def hosts_file(self):
        lines = ["127.0.0.1 localhost", f"{net.COLLECTOR} collector"]
        for host in self.hosts:
            lines.append(f"{net.host_address(host.number)} {host.name}")
            lines.append(f"{net.bmc_address(host.number)} bmc{host.number}")
        return "\n".join(lines) + "\n"

    def corosync_conf(self):
        transport = FAST if len(self.hosts) < LARGE_FROM else LARGE
        return COROSYNC_CONF.format(name=self.name, transport=transport, nodes="".join(
            NODE.format(number=host.number, address=net.host_address(host.number))
            for host in self.hosts[:self.settings["nodes"]]))

    def volume_devices(self):
        return [volume.device() for volume in self.volumes]

    def spawn_outside(self, command, log):
        """Starts COMMAND on the lab's network, outside the hosts; returns its pid."""
        words = ["nsenter", f"--net={self.network.path}", "--", *[str(word) for word in command]]
        with open(log, "a", encoding="ascii") as file:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                                    cwd="/", env={**os.environ, "LAB": self.name}, preexec_fn=self.outside.enter).pid

    # ---- up and down ----

    def up(self, nodes, volumes, vms, clusterd, spare=0, absent=0):
        """SPARE hosts are prepared and no members; the last ABSENT nodes stay off, and nothing is configured then."""
        if self.dir.exists() or self.network.path.exists():
            raise LabError(f"lab '{self.name}' is up already, or a part of it was left (lab down)")
        build = pathlib.Path(os.environ.get("LAB_BUILD", SOURCE / "build/run")).resolve()
        if not (build / "tests/lab/lab-init").exists():
            raise LabError(f"no build in {build}: run ./tests/run, or set LAB_BUILD to a build tree")
        self._stage(build)
        (CACHE / "libvirt").mkdir(parents=True, exist_ok=True)
        self._configure({"nodes": nodes, "spare": spare, "absent": absent, "volumes": volumes, "vms": vms, "kvm": False, "build": str(build),
                         "clusterd": clusterd and self._installed("sbin/clusterd")})
        self.kvm = self.settings["kvm"] = vms and guest.kvm_works(self)
        (self.dir / "lab.json").write_text(json.dumps(self.settings), encoding="ascii")
        self._start()

    def _stage(self, build):
        """Installs the build into the lab's folder; the hosts see it as their /usr."""
        prefix = re.search(r"^prefix = (.*)$", (build / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        if prefix[1] != "/usr":
            raise LabError(f"{build} is for {prefix[1]}: configure it with --prefix=/usr --sysconfdir=/etc "
                           "--localstatedir=/var")
        run("make", "-s", "-C", build, "install", f"DESTDIR={self.dir / 'stage'}", deadline_s=600)

    def _start(self):
        self.cgroup.create()
        self.outside.create()
        self.network.create(len(self.hosts))
        for volume in self.volumes:
            volume.create(VOLUME_MIB, 16384)
        for host in self.hosts:
            host.create()
        if self.vms:
            self._start_evidence()
        self.power_on(self.hosts[:self.settings["nodes"] - self.settings["absent"]])
        self.wait_quorate()
        if self.clusterd and not self.settings["absent"] and self._installed("sbin/clusterctl"):
            cluster.configure(self)

    def _start_evidence(self):
        self.spawn_outside([sys.executable, "-B", HERE / "collector.py", net.COLLECTOR, net.COLLECTOR_PORT,
                            self.dir / "collector.sock"], self.dir / "collector.log")
        self.spawn_outside([sys.executable, "-B", HERE / "auditor.py", self.dir, self.cgroup.path,
                            self.dir / "auditor.sock"], self.dir / "auditor.log")

    def power_on(self, hosts):
        for host in hosts:
            host.power_on()
        for host in hosts:
            host.wait_ready()

    def quorate(self):
        """Every running host is quorate and sees all that run."""
        hosts = self.running_hosts()
        for host in hosts:
            text = host.run("corosync-quorumtool", "-s", check=False).stdout
            votes = re.search(r"Total votes:\s+(\d+)", text)
            if not re.search(r"Quorate:\s+Yes", text) or not votes or int(votes[1]) != len(hosts):
                return False
        return bool(hosts)

    def wait_quorate(self):
        wait_until("the hosts are quorate (lab exec node1 corosync-quorumtool)", self.quorate, 60, 0.1)

    def down(self):
        """Ends and removes everything, whatever state it is in; fine when nothing is there."""
        BASE.mkdir(parents=True, exist_ok=True)
        with locked(BASE):  # against another `down` of the same lab
            self.cgroup.destroy()
            self.network.destroy()
            if self.dir.exists():
                wait_until("the disks are free", lambda: not self._busy_disks(), 20, 0.02)
                detach_below(self.dir)
                shutil.rmtree(self.dir)

    def _busy_disks(self):
        return [device for device in (disk.device() for disk in [*self.volumes, *(host.disk for host in self.hosts)])
                if device and os.path.exists(f"/sys/fs/ext4/{os.path.basename(device)}")] if self.hosts else []

    # ---- bad days ----

    def cut(self, hosts, volumes=False):
        run(self.tool("lab-power"), "cut", *(["--volumes"] if volumes else []), *[host.dir for host in hosts])
        for disk in [host.disk for host in hosts] + (self.volumes if volumes else []):
            disk.wait_unmounted()

    def audit(self, reset=False, history=False):
        if not self.vms:
            return {"samples": 0, "violations": []}
        return ask(self.dir / "auditor.sock", {"reset": reset, "history": history})

    def partition(self, groups, bmc):
        self.network.cut([[self.host(name).name for name in group] for group in groups],
                         {host.name: host.number for host in self.hosts}, bmc)
