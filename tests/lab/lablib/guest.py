"""Test guests: their kernel and initramfs, their disks and domain XML, and the evidence of what became of them."""

import json
import mmap
import os
import pathlib
import re
import shutil
import struct
import tempfile
import uuid
import zlib

from . import collector, net
from .shell import LabError, locked, run

HERE = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path("/var/cache/clusterd-lab")
PACKAGE = "linux-image-cloud-amd64"
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
           "failover", "net_failover", "virtio_net", "button", "evdev"]
BLOCK, SLOTS, MAGIC = 4096, 1024, 0x4742414C  # as in guest/guest.c
DISK_MIB = 8
PROBE_DEADLINE_S = 10

XML = """<domain type='{type}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{path}/lab-guest/vmlinuz</kernel>
    <initrd>{path}/lab-guest/initrd</initrd>
    <cmdline>quiet console=ttyS0 no_timer_check panic=5 lab_name={name} lab_address={address}/{prefix} \
lab_collector={collector} lab_port={port} lab_dirty={dirty}</cmdline>
  </os>
  <features>
    <acpi/>{tcg}
  </features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>Nehalem</model>
  </cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/>
      <source file='{path}/{name}/disk.raw'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'>
      <source path='/var/log/{name}.console' append='on'/>
    </serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:/run/lab/qmp-{name},server=on,wait=off'/>
  </qemu:commandline>
</domain>
"""


# ---- kernel and initramfs ----

def kernel():
    """The folder with vmlinuz and the modules, unpacked (not installed) from the distribution's package."""
    target = CACHE / "kernel"
    with locked(CACHE):
        if not target.exists():
            _fetch_kernel(target)
    return target


def _fetch_kernel(target):
    found = re.search(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", PACKAGE).stdout)
    if not found:
        raise LabError(f"apt knows no package {PACKAGE} (apt-get update?)")
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        run("apt-get", "download", "-q", found[1], cwd=work, deadline_s=300)
        package, = pathlib.Path(work).glob("*.deb")
        run("dpkg", "-x", package, f"{work}/all")
        _pick(pathlib.Path(work) / "all", pathlib.Path(work) / "kernel")
        os.rename(f"{work}/kernel", target)


def _pick(unpacked, target):
    target.mkdir()
    image, = (unpacked / "boot").glob("vmlinuz-*")
    shutil.copy(image, target / "vmlinuz")
    files = {file.stem.replace("-", "_"): file for file in unpacked.rglob("*.ko")}
    for name in MODULES:
        shutil.copy(files[name], target / f"{name}.ko")


def initrd(lab, target):
    with tempfile.TemporaryDirectory() as work:
        root = pathlib.Path(work)
        for name in ("bin", "dev", "proc", "sys", "modules"):
            (root / name).mkdir()
        shutil.copy("/bin/busybox", root / "bin")
        shutil.copy(HERE / "guest/init", root / "init")
        shutil.copy(lab.tool("lab-guest"), root / "lab-guest")
        for name in MODULES:
            shutil.copy(kernel() / f"{name}.ko", root / "modules" / name)
        (root / "modules/order").write_text(" ".join(MODULES), encoding="ascii")
        run("sh", "-c", 'find . | cpio -o -H newc --quiet >"$1"', "sh", target, cwd=root)


def kvm_works(lab):
    """/dev/kvm may exist and yet hang every guest (nested machines): boots one, once for each boot of the machine."""
    verdict = CACHE / "kvm"
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    if not os.path.exists("/dev/kvm"):
        return False
    if not verdict.exists() or verdict.read_text(encoding="ascii").split()[0] != boot:
        with tempfile.NamedTemporaryFile() as file:
            initrd(lab, file.name)
            try:
                works = run("qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-nodefaults", "-display", "none",
                            "-no-reboot", "-kernel", kernel() / "vmlinuz", "-initrd", file.name,
                            check=False, deadline_s=PROBE_DEADLINE_S).returncode == 0
            except LabError:
                works = False
        verdict.write_text(f"{boot} {'works' if works else 'hangs'}\n", encoding="ascii")
    return verdict.read_text(encoding="ascii").split()[1] == "works"


# ---- guests ----

def _sync(directory):
    """A guest that was added survives the power cut of the next moment."""
    for path in [*directory.iterdir(), directory, directory.parent]:
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def add(lab, name, memory_mib, dirty_mib_s, volume=1):
    """Makes the disk and the XML on a shared volume; returns the XML's path on the hosts."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,29}", name):
        raise LabError(f"bad guest name '{name}' (a-z, 0-9 and -, at most 30)")
    known = guests(lab)
    if name in known:
        raise LabError(f"there is a guest '{name}' already")
    if not lab.vms or not 1 <= volume <= len(lab.volumes):
        raise LabError("this lab has no libvirt (--no-vms), or no such volume")
    root = lab.any_host().file(f"/srv/vol{volume}")
    path = f"/var/lib/clusterd/volumes/vol{volume}"
    if not (root / "lab-guest").exists():
        (root / "lab-guest").mkdir()
        shutil.copy(kernel() / "vmlinuz", root / "lab-guest/vmlinuz")
        initrd(lab, root / "lab-guest/initrd")
        _sync(root / "lab-guest")
    number = 1 + max((guest["number"] for guest in known.values()), default=0)
    (root / name).mkdir()
    with open(root / name / "disk.raw", "wb") as file:
        file.truncate(DISK_MIB << 20)
    (root / name / f"{name}.xml").write_text(XML.format(
        type="kvm" if lab.kvm else "qemu", name=name, uuid=uuid.uuid4(), memory=memory_mib, path=path,
        tcg="" if lab.kvm else "\n    <tcg>\n      <tb-cache unit='MiB'>64</tb-cache>\n    </tcg>",
        address=net.guest_address(number), prefix=net.PREFIX, collector=net.COLLECTOR, port=net.COLLECTOR_PORT,
        dirty=dirty_mib_s, mac=net.guest_mac(number)), encoding="ascii")
    _sync(root / name)
    known[name] = {"number": number, "address": net.guest_address(number), "volume": volume,
                   "xml": f"{path}/{name}/{name}.xml"}
    (lab.dir / "guests.json").write_text(json.dumps(known), encoding="ascii")
    return known[name]["xml"]


def guests(lab):
    """{name: {"number", "address", "volume", "xml"}}"""
    file = lab.dir / "guests.json"
    return json.loads(file.read_text(encoding="ascii")) if file.exists() else {}


def check(lab, name, since=None):
    """The collector's evidence, and whether every acknowledged write is on the disk now."""
    if name not in guests(lab):
        raise LabError(f"no guest '{name}'")
    evidence = collector.ask(lab.dir / "collector.sock", {"guest": name, "since": since})
    volume = guests(lab)[name]["volume"]
    hosts = lab.running_hosts()
    if hosts and evidence["acknowledged_writes"]:
        highest = highest_write(hosts[0].file(f"/srv/vol{volume}/{name}/disk.raw"))
        evidence["highest_write_on_disk"] = highest
        evidence["lost_writes"] += max(0, evidence["last_acknowledged_write"] - highest)
    return evidence


def highest_write(image):
    """Of the disk as it is: read past the page cache, which would otherwise disturb the guest's own writes."""
    size = BLOCK * (1 + SLOTS)
    with mmap.mmap(-1, size) as memory:
        fd = os.open(image, os.O_RDONLY | os.O_DIRECT)
        try:
            os.preadv(fd, [memory], 0)
        finally:
            os.close(fd)
        highest = 0
        for at in range(BLOCK, size, BLOCK):
            magic, _, _, counter, crc = struct.unpack_from("<IIQQI", memory, at)
            if magic == MAGIC and crc == zlib.crc32(memory[at:at + 24]):
                highest = max(highest, counter)
        return highest
