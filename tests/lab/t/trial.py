"""What every lab test shares: a lab of its own, guests, evidence, and an end that checks and cleans up.

    with Trial(clusterd=False) as t:
        web1 = t.guest("web1")
        web1.create("node1")
        t.note("it runs")
        check(web1.evidence()["boots"] == 1, "one boot")

At the end of the block every guest's evidence must show no lost write and no second writer, the auditor no
violation, and after `down` nothing may be left. On a failure the logs are kept; LAB_KEEP=1 keeps the lab itself.
"""

import os
import pathlib
import re
import shutil
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True

from lablib import cluster, guest  # noqa: E402
from lablib.lab import Lab  # noqa: E402
from lablib.loop import attached  # noqa: E402
from lablib.shell import LabError, run, wait_until  # noqa: E402

__all__ = ["Trial", "Guest", "Lab", "LabError", "check", "run", "wait_until"]


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Guest:
    """A test guest and its handling by hand with virsh; with clusterd, clusterctl does that (Trial.ctl)."""

    def __init__(self, lab, name, **options):
        self.lab, self.name = lab, name
        self.xml = guest.add(lab, name, options.pop("memory", 128), options.pop("dirty_rate", 0), **options)
        self.address = guest.guests(lab)[name]["address"]

    def evidence(self, since=None):
        return guest.check(self.lab, self.name, since)

    def ticking(self):
        ago = self.evidence()["last_tick_ms_ago"]
        return ago is not None and ago < 500

    def wait_boots(self, boots, deadline_s=90):
        """Until it ticks in its BOOTSth life and has written something there; returns the evidence."""
        def up():
            seen = self.evidence()
            return seen if seen["boots"] == boots and self.ticking() and seen["life_ticks"] > 20 else None
        return wait_until(f"{self.name} has booted {boots} times", up, deadline_s, 0.1)

    def create(self, host):
        self.lab.host(host).run("virsh", "create", self.xml)

    def migrate(self, source, target):
        """Returns the seconds that it took. --unsafe: that the volume is shared, libvirt cannot know here."""
        begin = time.monotonic()
        self.lab.host(source).run("virsh", "migrate", "--live", "--unsafe", self.name, f"qemu+tcp://{target}/system",
                                  deadline_s=60)
        return time.monotonic() - begin

    def hosts(self):
        """Where a QEMU of it runs, by the auditor."""
        return [qemu["host"] for qemu in self.lab.audit()["qemus"] if qemu["vm"] == self.name and qemu["running"]]


class Trial:
    def __init__(self, nodes=3, volumes=1, vms=True, clusterd=True, **more):
        script = pathlib.Path(sys.argv[0]).name
        os.environ.setdefault("LAB", re.sub(r"[^a-z0-9-]", "", f"t{script}")[:16].rstrip("-"))
        self.options, self.more = (nodes, volumes, vms, clusterd), more
        self.lab = Lab()
        self.guests = {}
        self.begin = time.monotonic()

    def note(self, text):
        print(f"{time.monotonic() - self.begin:7.2f} s  {text}", flush=True)

    def guest(self, name, **options):
        self.guests[name] = Guest(self.lab, name, **options)
        return self.guests[name]

    def host(self, name):
        return self.lab.host(name)

    def ctl(self, *words, node="node1", **options):
        """clusterctl --json on a node, parsed."""
        return cluster.ctl(self.host(node), *words, **options)

    def need_clusterd(self):
        """Skips the test when the build has none."""
        if not self.lab.clusterd:
            print("skipped: the build has no clusterd", flush=True)
            sys.exit(77)

    def vm(self, name, node="node1"):
        """The VM's element of `status`, or {} while NODE does not answer."""
        return self._element("vms", name, node)

    def node(self, name, node="node1"):
        return self._element("nodes", name, node)

    def _element(self, kind, name, node):
        for element in self.ctl("status", node=node, check=False).get(kind, []):
            if element["name"] == name:
                return element
        return {}

    def __enter__(self):
        self.lab.up(*self.options, **self.more)
        self.note("the lab is up")
        return self

    def __exit__(self, kind, error, _):
        try:
            if kind is None:
                self._verdict()
        except (AssertionError, LabError) as late:
            kind, error = type(late), late
        if kind not in (None, SystemExit):
            self._keep_logs()
            print(f"FAILED: {error if kind in (AssertionError, LabError) else repr(error)}", flush=True)
        if not os.environ.get("LAB_KEEP"):
            self.lab.down()
            self._nothing_left()
        if kind in (AssertionError, LabError):
            sys.exit(1)

    def _verdict(self):
        """What no test may ever see: S1, S8, and a lost acknowledged write."""
        violations = self.lab.audit()["violations"]
        check(not violations, f"the auditor saw {violations}")
        for name, one in self.guests.items():
            seen = one.evidence()
            check(seen["lost_writes"] == 0, f"{name} lost acknowledged writes: {seen}")
            check(seen["double_writers"] == 0, f"{name} had two lives at once: {seen}")

    def _keep_logs(self):
        target = pathlib.Path(os.environ.get("LAB_LOGS", "/var/tmp/clusterd-lab-logs")) / self.lab.name
        shutil.rmtree(target, ignore_errors=True)
        if self.lab.dir.exists():
            shutil.copytree(self.lab.dir, target, symlinks=True, ignore_dangling_symlinks=True,
                            ignore=shutil.ignore_patterns("*.img", "stage", "*.sock", "*.lock"))
            print(f"logs: {target}")

    def _nothing_left(self):
        lab = self.lab
        left = [device["back-file"] for device in attached() if str(device["back-file"]).startswith(f"{lab.dir}/")]
        left += [str(path) for path in (lab.dir, lab.network.path, lab.cgroup.path) if path.exists()]
        left += [line for line in open("/proc/self/mountinfo", encoding="ascii") if f"{lab.dir}/" in line]
        check(not left, f"lab down left {left}")
