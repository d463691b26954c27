"""The auditor: watches every QEMU process of every host from outside, and knows which of them run.

Every SAMPLE_S it lists the hosts' processes and reads what each QEMU has said on the monitor that the guests' XML
opens for it (its run state once, then its own events, stamped by QEMU with the machine's clock). A violation is
two running QEMUs of one VM at one time (S1), or an image lock refused to a QEMU that was not the incoming end of
a live migration (S8).

Run as a program: auditor.py LAB-DIR CGROUP SOCKET.
"""

import collections
import contextlib
import json
import os
import pathlib
import re
import select
import socket
import sys
import time

from collector import answer, listen  # beside this file, which runs as a program

SAMPLE_S = 0.04
LATE_S = 0.05
YOUNG_S = 10  # a process this young may still become a QEMU
LOGS_EVERY = 5
HISTORY_MAX = 10000
LOCK_REFUSED = re.compile(rb'Failed to get "\w+" lock|Failed to lock byte')
EVENTS = {"RESUME": "running", "STOP": "paused", "SHUTDOWN": "shutdown", "GUEST_PANICKED": "panicked"}


class Qemu:
    """One QEMU process. STATE is QEMU's own word (running, paused, inmigrate ...), None while unknown."""

    def __init__(self, host, pid, words):
        self.host, self.pid = host, pid
        self.vm = re.sub(r"^guest=|,.*", "", _after(words, "-name") or "")
        self.uuid = _after(words, "-uuid")
        self.incoming = "-incoming" in words
        self.running_since = None
        self.state = None
        self.migrates = False  # it has sent its state away, or tries to
        self.monitor, self.buffer = None, b""
        monitor = re.search(r"unix:([^,]+)", _after(words, "-qmp") or "")
        self.monitor_path = f"/proc/{pid}/root{monitor[1]}" if monitor else None

    def running(self):
        """Without a monitor of ours the careful answer: a QEMU runs unless it was started for an incoming move."""
        if self.monitor_path is None:
            return not self.incoming
        return self.running_since is not None

    def alive(self):
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rsplit(b")", 1)[1].split()[0] not in (b"Z", b"X")
        return False

    def listen(self):
        """Whole messages that have come since the last time."""
        if self.monitor is None and not self._connect():
            return []
        with contextlib.suppress(OSError):  # nothing more, or its QEMU has ended
            while data := self.monitor.recv(65536):
                self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines if line.strip()]

    def _connect(self):
        if self.monitor_path is None:
            return False
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self.monitor_path)
            sock.sendall(b'{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":"status"}\n')
        except OSError:  # not there yet, or gone with its QEMU
            sock.close()
            return False
        self.monitor = sock
        return True

    def close(self):
        if self.monitor:
            self.monitor.close()

    def describe(self):
        return {"host": self.host, "pid": self.pid, "vm": self.vm, "state": self.state or "unknown",
                "running": self.running(), "running_since": self.running_since}


def stamped(event):
    return event["timestamp"]["seconds"] + event["timestamp"]["microseconds"] / 1e6


def _after(words, option):
    return words[words.index(option) + 1] if option in words[:-1] else None


class Auditor:
    def __init__(self, directory, cgroup, path):
        self.dir, self.cgroup = pathlib.Path(directory), cgroup
        self.questions = listen(path)
        self.seen = {}  # pid -> when first, or its Qemu
        self.logs = {}  # path -> [offset, whether the last start was an incoming one]
        self.history = collections.deque(maxlen=HISTORY_MAX)
        self.reset()

    def reset(self):
        self.samples = self.late = 0
        self.longest = 0.0
        self.violations = []
        self.current = {}  # (pid, pid) -> the violation that goes on

    # ---- processes ----

    def list_processes(self, now):
        found = set()
        for host in os.scandir(self.cgroup):
            if host.is_dir() and host.name != "outside":
                with contextlib.suppress(OSError), open(f"{host.path}/cgroup.procs", "rb") as file:
                    for pid in map(int, file.read().split()):
                        found.add(pid)
                        self._look(host.name, pid, now)
        for pid in self.seen.keys() - found:
            self._gone(pid)

    def _look(self, host, pid, now):
        first = self.seen.setdefault(pid, now)
        if isinstance(first, Qemu) or now - first > YOUNG_S:
            return
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/comm", "rb") as file:
                if not file.read().startswith(b"qemu-system"):
                    return
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode("utf-8", "replace").split("\0")
            if "-uuid" in words:  # else libvirt only asks what this QEMU can do
                self.seen[pid] = Qemu(host, pid, words)
                self.note(time.time(), self.seen[pid], "incoming" if self.seen[pid].incoming else "started")

    def _gone(self, pid):
        qemu = self.seen.pop(pid)
        if isinstance(qemu, Qemu):
            if qemu.monitor:
                self.hear(qemu)  # its last words: it may have come to its end since the last sample
            qemu.close()
            self.note(time.time(), qemu, "gone")

    def qemus(self):
        return [qemu for qemu in self.seen.values() if isinstance(qemu, Qemu)]

    def note(self, at, qemu, what):
        self.history.append({"time": at, "host": qemu.host, "vm": qemu.vm, "pid": qemu.pid, "what": what})

    # ---- run states ----

    def hear(self, qemu):
        for message in qemu.listen():
            if message.get("id") == "status":
                status = message["return"]
                self._state(qemu, status["status"], status["running"], time.time())
            elif message.get("event") in EVENTS:
                self._state(qemu, EVENTS[message["event"]], message["event"] == "RESUME", stamped(message))
            elif message.get("event") == "MIGRATION" and qemu.state != "inmigrate" and not qemu.migrates:
                qemu.migrates = True
                self.note(stamped(message), qemu, "migrates")

    def _state(self, qemu, state, running, at):
        qemu.state = state
        if running != qemu.running():
            qemu.running_since = at if running else None
            self.note(at, qemu, "running" if running else "stopped")

    # ---- the verdict ----

    def judge(self, now):
        by_vm = collections.defaultdict(list)
        for qemu in self.qemus():
            if qemu.running():
                by_vm[qemu.uuid].append(qemu)
        going_on = {}
        for qemus in by_vm.values():
            alive = [qemu for qemu in qemus if len(qemus) > 1 and qemu.alive()]
            for index, one in enumerate(alive):
                for other in alive[index + 1:]:
                    going_on[one.pid, other.pid] = self._two_running(one, other, now)
        self.current = going_on

    def _two_running(self, one, other, now):
        violation = self.current.get((one.pid, other.pid))
        if violation is None:
            violation = {"kind": "two-running", "vm": one.vm, "time": now,
                         "qemus": [one.describe(), other.describe()]}
            self.violations.append(violation)
        violation["until"] = now
        return violation

    def read_logs(self, now):
        for path in self.dir.glob("node*/log/libvirt/qemu/*.log"):
            state = self.logs.setdefault(path, [0, False])
            if path.stat().st_size > state[0]:
                with open(path, "rb") as file:
                    file.seek(state[0])
                    text = file.read()
                end = text.rfind(b"\n") + 1
                state[0] += end
                self._judge_log(path, state, text[:end], now)

    def _judge_log(self, path, state, text, now):
        for line in text.splitlines():
            if b"starting up libvirt version" in line:
                state[1] = False
            elif line.startswith(b"-incoming"):
                state[1] = True
            elif LOCK_REFUSED.search(line) and not (state[1] and self._moves_live(path.stem)):
                self.violations.append({
                    "kind": "lock-refused", "vm": path.stem, "time": now, "host": path.parts[-5],
                    "text": line.decode("utf-8", "replace")})

    def _moves_live(self, vm):
        """Not so when a saved state is restored: that has an incoming end, too, but no source."""
        return any(qemu.vm == vm and qemu.migrates for qemu in self.qemus())

    # ---- the loop ----

    def sample(self):
        now = time.time()
        self.list_processes(now)
        for qemu in self.qemus():
            self.hear(qemu)
        self.judge(now)
        if self.samples % LOGS_EVERY == 0:
            self.read_logs(now)
        self.samples += 1

    def reply(self, question):
        self.sample()
        self.read_logs(time.time())
        answer = {"samples": self.samples, "violations": self.violations, "late_samples": self.late,
                  "longest_interval_ms": round(self.longest * 1000),
                  "qemus": [qemu.describe() for qemu in self.qemus()]}
        if question.get("history"):
            answer["history"] = list(self.history)
        if question.get("reset"):
            self.reset()
        return answer

    def run(self):
        last = time.monotonic()
        while True:
            ready, _, _ = select.select([self.questions], [], [], SAMPLE_S)
            if ready:
                answer(self.questions, self.reply)
            else:
                self.sample()
            interval, last = time.monotonic() - last, time.monotonic()
            self.late += interval > LATE_S
            self.longest = max(self.longest, interval)


if __name__ == "__main__":
    os.nice(-5)
    Auditor(*sys.argv[1:]).run()
