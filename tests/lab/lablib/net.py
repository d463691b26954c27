"""The lab's network: one namespace with a bridge; the hosts, their BMCs and the guests' collector are on it.

    10.77.0.N      host N                 02:77:00:00:00:NN
    10.77.1.N      BMC of host N          (addresses of the bridge itself)
    10.77.0.254    collector              02:77:00:00:01:00
    10.77.16.1...  guests                 52:54:00:77:xx:xx

All MAC addresses are fixed: a bridge takes its lowest port's, which would change when a host dies, and everything
through it would stall until the ARP entries expire.
"""

import itertools
import os
import pathlib

from .shell import run

BRIDGE = "lab0"
COLLECTOR = "10.77.0.254"
COLLECTOR_PORT = 7700
PREFIX = 16


def host_address(number):
    return f"10.77.0.{number}"


def bmc_address(number):
    return f"10.77.1.{number}"


def guest_address(number):
    return f"10.77.{16 + number // 250}.{1 + number % 250}"


def guest_mac(number):
    return f"52:54:00:77:{number // 256:02x}:{number % 256:02x}"


class Network:
    def __init__(self, name):
        self.name = name
        self.path = pathlib.Path("/run/netns") / name

    def ip(self, *words, check=True):
        return run("ip", "-n", self.name, *words, check=check)

    def create(self, nodes):
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", BRIDGE, "address", "02:77:00:00:01:00", "type", "bridge", "stp_state", 0,
                "forward_delay", 0, "mcast_snooping", 0)
        for address in [COLLECTOR] + [bmc_address(number) for number in range(1, nodes + 1)]:
            self.ip("address", "add", f"{address}/{PREFIX}", "dev", BRIDGE)
        self.ip("link", "set", BRIDGE, "up")

    def destroy(self):
        if self.path.exists():
            run("ip", "netns", "del", self.name)

    def exec(self, command):
        """Becomes COMMAND on the network, outside the hosts."""
        os.execvp("nsenter", ["nsenter", f"--net={self.path}", "--", *command])

    def plug(self, host, number, pid):
        """The cable between the bridge and a host whose PID 1 is PID; the dead host's is taken out first."""
        self.ip("link", "del", host, check=False)
        self.ip("link", "add", host, "address", f"02:77:00:00:02:{number:02x}", "type", "veth",
                "peer", "name", "eth0", "address", f"02:77:00:00:00:{number:02x}", "netns", pid)
        self.ip("link", "set", host, "master", BRIDGE, "up")

    def cut(self, groups, numbers, bmc):
        """Nothing passes between hosts of different GROUPS; with BMC nor from a host to the BMCs of other groups."""
        hosts, bmcs = [], []
        for one, other in itertools.permutations(groups, 2):
            for a, b in itertools.product(one, other):
                hosts.append(f'"{a}" . "{b}"')
                bmcs.append(f'"{a}" . {bmc_address(numbers[b])}')
        rules = ["table bridge lab {",
                 f"set hosts {{ type ifname . ifname; elements = {{ {', '.join(hosts)} }}; }}",
                 "chain between { type filter hook forward priority 0; iifname . oifname @hosts drop; }"]
        if bmc:
            rules += [f"set bmcs {{ type ifname . ipv4_addr; elements = {{ {', '.join(bmcs)} }}; }}",
                      "chain to { type filter hook input priority 0; iifname . ip daddr @bmcs drop; }"]
        self.heal()
        self._nft("\n".join(rules) + "\n}\n")

    def heal(self):
        self._nft("add table bridge lab\ndelete table bridge lab\n")

    def _nft(self, rules):
        run("nsenter", f"--net={self.path}", "nft", "-f", "-", input=rules)
