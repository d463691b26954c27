"""What the tests of clusterd share: VMs of the cluster, and what it says of them."""

from trial import Trial, check, wait_until

__all__ = ["Cluster", "check", "wait_until"]


class Cluster(Trial):
    """A lab whose hosts run clusterd, formed and configured."""

    def __enter__(self):
        super().__enter__()
        self.wait_nodes("online")
        return self

    def status(self, node="node1"):
        return self.ctl("status", node=node)

    def quorate(self, node="node1"):
        return self.ctl("status", node=node, check=False).get("cluster", {}).get("quorate")

    def wait_nodes(self, state, names=None, ask="node1", deadline_s=40):
        names = names or [host.name for host in self.lab.hosts]
        wait_until(f"{', '.join(names)} {state}",
                   lambda: self.quorate(ask) and all(self.node(name, ask).get("state") == state for name in names),
                   deadline_s)

    def wait_volume(self, nodes=3, ask="node1"):
        wait_until("the volume is online on all nodes",
                   lambda: len(self.status(ask)["volumes"][0]["nodes"]) == nodes, 30)

    def add(self, name, priority="medium", node=None, start=True, **options):
        """A guest becomes a VM of the cluster; started on NODE, it is left to boot."""
        one = self.guest(name, **options)
        self.ctl("vm", "add", one.xml, "--priority", priority)
        if start:
            self.ctl("vm", "start", name, *(["--node", node] if node else []))
        return one

    def moved(self, one, since, node, gap_ms=1000):
        """The evidence of a move: same boot, on NODE only, no longer gap than allowed."""
        wait_until(f"{one.name} ticks", one.ticking, 20)
        seen = one.evidence(since)
        whole = one.evidence()
        self.note(f"{one.name}: longest gap {seen['longest_gap_ms']} ms, boots {whole['boots']}")
        check(one.hosts() == [node], f"{one.name} runs on {node} only: {one.hosts()}")
        check(whole["lives"] == 1, f"{one.name} is the same life: {whole}")
        check(seen["longest_gap_ms"] < gap_ms, f"a gap under {gap_ms} ms: {seen}")

    def leader(self, ask="node1"):
        return self.status(ask)["cluster"]["coordinator"]

    def others(self, name):
        return [host.name for host in self.lab.hosts if host.name != name]

    def same_everywhere(self, nodes):
        """Each node says the same of VMs and nodes (S5), once it has caught up."""
        def view(node):
            seen = self.status(node)
            return [(v["name"], v["state"], v["node"]) for v in seen["vms"]]
        wait_until("all nodes say the same", lambda: len({str(view(node)) for node in nodes}) == 1, 10)
