"""The guests' collector: takes their reports outside the hosts, stamped with the machine's clock by its kernel.

Run as a program: collector.py ADDRESS PORT SOCKET. Questions come on the unix socket, one JSON object each.
"""

import collections
import json
import os
import select
import socket
import struct
import sys
import time

REPORT = struct.Struct("<IIQIIQQ32s")  # as in guest/guest.c
MAGIC = 0x4742414C
TICK, WRITE = ord("T"), ord("W")
GAP_MS = 12  # ticks come every 10 ms; pauses up to this are not remembered one by one
GAPS_MAX = 20000
GAPS_SHOWN_MS = 50
BATCH_S = 0.02
SO_TIMESTAMPNS = 35
STAMP = struct.Struct("ll")


class Guest:
    """What is known of one guest. Times in seconds of the machine's clock."""

    def __init__(self):
        self.lives = collections.OrderedDict()  # life -> {"boots", "first", "last", "tick", "write"}
        self.ticks = self.boots = self.writes = self.acknowledged = 0
        self.lost = self.missing = self.double = 0
        self.last_tick = None
        self.longest = (0.0, None)
        self.gaps = collections.deque(maxlen=GAPS_MAX)  # (end, ms)

    def take(self, stamp, kind, life, boots, missing, found, counter):
        current = self.lives.get(life)
        if current is None:
            current = self._begin(stamp, life, boots, missing, found)
        elif life != next(reversed(self.lives)):
            self.double += 1  # an earlier life still speaks after a later one has
        current["last"] = stamp
        if kind == TICK:
            self._tick(stamp, current, counter)
        elif kind == WRITE:
            self._write(current, counter)

    def _begin(self, stamp, life, boots, missing, found):
        self.lives[life] = current = {"boots": boots, "first": stamp, "last": stamp, "tick": 0, "write": found}
        self.boots = max(self.boots, boots)
        self.missing = max(self.missing, missing)
        self.lost += max(0, self.acknowledged - found)
        self.acknowledged = found
        return current

    def _tick(self, stamp, current, counter):
        if counter <= current["tick"]:
            self.double += 1
        current["tick"] = counter
        self.ticks += 1
        if self.last_tick is not None:
            gap = (stamp - self.last_tick) * 1000
            if gap >= GAP_MS:
                self.gaps.append((stamp, gap))
            self.longest = max(self.longest, (gap, stamp))
        self.last_tick = stamp

    def _write(self, current, counter):
        if counter <= current["write"]:
            self.double += 1
        current["write"] = counter
        self.acknowledged = max(self.acknowledged, counter)
        self.writes += 1

    def evidence(self, since):
        gaps = [(at, ms) for at, ms in self.gaps if since is None or at >= since]
        longest, at = (self.longest if since is None else
                       max(((ms, at) for at, ms in gaps), default=(GAP_MS, None)))
        return {
            "boots": self.boots, "lives": len(self.lives), "ticks": self.ticks,
            "last_tick_ms_ago": None if self.last_tick is None else round((time.time() - self.last_tick) * 1000),
            "longest_gap_ms": round(longest), "longest_gap_ended": at,
            "acknowledged_writes": self.writes, "last_acknowledged_write": self.acknowledged,
            "lost_writes": self.lost + self.missing, "double_writers": self.double,
            "life_ticks": next(reversed(self.lives.values()))["tick"] if self.lives else 0,
            "gaps": [[round(at, 3), round(ms)] for at, ms in gaps if ms >= GAPS_SHOWN_MS][-20:],
        }


class Collector:
    def __init__(self, address, port, path):
        self.guests = collections.defaultdict(Guest)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.udp.bind((address, port))
        self.udp.setblocking(False)
        self.questions = listen(path)

    def drain(self):
        while True:
            try:
                data, ancillary, _, _ = self.udp.recvmsg(REPORT.size, 64)
            except BlockingIOError:
                return
            if len(data) != REPORT.size:
                continue
            magic, kind, life, boots, missing, found, counter, name = REPORT.unpack(data)
            if magic == MAGIC:
                seconds, nanoseconds = STAMP.unpack_from(ancillary[0][2])
                self.guests[name.rstrip(b"\0").decode("ascii", "replace")].take(
                    seconds + nanoseconds / 1e9, kind, life, boots, missing, found, counter)

    def reply(self, question):
        return self.guests.get(question["guest"], Guest()).evidence(question.get("since"))

    def run(self):
        while True:
            ready, _, _ = select.select([self.udp, self.questions], [], [])
            self.drain()
            if self.questions in ready:
                answer(self.questions, self.reply)
            else:
                time.sleep(BATCH_S)  # the stamps are the kernel's, so nothing is lost by reading in batches


# ---- questions and answers on a unix socket; the auditor's, too ----

def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    return listener


def answer(listener, reply):
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(1)
        try:
            connection.sendall(json.dumps(reply(json.loads(connection.makefile().readline()))).encode() + b"\n")
        except (OSError, ValueError, KeyError) as error:
            print(f"bad question: {error!r}", file=sys.stderr, flush=True)


def ask(path, question):
    """Raises OSError when nobody answers: the program has died, see its log."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(json.dumps(question).encode() + b"\n")
        return json.loads(connection.makefile().readline())


if __name__ == "__main__":
    os.nice(-5)  # stamps are the kernel's, but the socket's buffer is finite
    Collector(sys.argv[1], int(sys.argv[2]), sys.argv[3]).run()
