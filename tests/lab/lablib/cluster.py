"""What an operator would configure first: fencing and the shared volumes, through clusterctl."""

import json

from .shell import LabError, wait_until


def ctl(host, *words, check=True, deadline_s=60):
    """clusterctl --json on HOST; returns what it printed, parsed. An error object is returned only without CHECK."""
    done = host.run("clusterctl", "--json", "--yes", *words, check=False, deadline_s=deadline_s)
    try:
        answer = json.loads(done.stdout) if done.stdout.strip() else {}
    except ValueError as error:
        raise LabError(f"clusterctl {' '.join(map(str, words))}: not JSON: {done.stdout!r}") from error
    if check and done.returncode != 0:
        what = answer.get("error", {})
        raise LabError(f"clusterctl {' '.join(map(str, words))}: exit {done.returncode}: "
                       f"{what.get('message') or done.stderr.strip() or done.stdout.strip()}")
    return answer


def quorate(host):
    return ctl(host, "status", check=False).get("cluster", {}).get("quorate")


def configure(lab):
    first = lab.any_host()
    wait_until("the cluster decides (clusterctl status)", lambda: quorate(first), 30)
    for host in lab.hosts[:lab.settings["nodes"]]:
        ctl(first, "fence", "add", f"ipmi-{host.name}", "--agent", "fence_ipmilan", "--nodes", host.name,
            *host.bmc.fence_parameters())
    for number in range(1, len(lab.volumes) + 1):
        ctl(first, "volume", "add", f"vol{number}", "--type", "directory", "--source", f"/srv/vol{number}")
