"""One control group per host and one for what runs outside: to stop, to count and to end processes as a whole."""

import contextlib
import os
import pathlib

from .shell import LabError, wait_until


def root():
    """Where the version 2 hierarchy is mounted; on some systems beside version 1."""
    for line in open("/proc/mounts", encoding="ascii"):
        _, point, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(point)
    raise LabError("no cgroup2 hierarchy is mounted")


class Cgroup:
    def __init__(self, name):
        self.path = root() / name

    def create(self):
        self.path.mkdir(exist_ok=True)

    def enter(self):
        """Moves the calling process; meant for a child about to run a program."""
        (self.path / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="ascii")

    def pids(self):
        try:
            return [int(pid) for pid in (self.path / "cgroup.procs").read_text(encoding="ascii").split()]
        except FileNotFoundError:
            return []

    def _event(self, name):
        with contextlib.suppress(FileNotFoundError):  # it goes away with its processes
            for line in (self.path / "cgroup.events").read_text(encoding="ascii").splitlines():
                if line.startswith(name + " "):
                    return line.endswith(" 1")
        return False

    def frozen(self):
        return self._event("frozen")

    def freeze(self):
        (self.path / "cgroup.freeze").write_text("1", encoding="ascii")
        wait_until(f"{self.path.name} is frozen", self.frozen, 5, 0.002)

    def thaw(self):
        (self.path / "cgroup.freeze").write_text("0", encoding="ascii")

    def destroy(self):
        """Kills every process in it and below, and removes it. Fine when it is gone already."""
        if not self.path.exists():
            return
        (self.path / "cgroup.kill").write_text("1", encoding="ascii")
        wait_until(f"the processes of {self.path.name} ended", lambda: not self._event("populated"), 20, 0.01)
        for child in self.path.iterdir():
            if child.is_dir():
                child.rmdir()
        self.path.rmdir()
