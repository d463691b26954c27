"""Disks that are files: ext4 in a loop device, so that a power cut can lose what was not synced."""

import json
import os
import pathlib

from .shell import run, wait_until


class Disk:
    def __init__(self, image):
        self.image = pathlib.Path(image)

    def create(self, size_mib, inodes):
        with open(self.image, "wb") as file:
            file.truncate(size_mib << 20)
        run("mkfs.ext4", "-q", "-F", "-m", 0, "-N", inodes, "-J", "size=8", "-E", "lazy_itable_init=0,nodiscard",
            self.image)
        self.attach()

    def device(self):
        """/dev/loopN, or None when it is not attached."""
        for device in attached():
            if device["back-file"] == str(self.image):
                return device["name"]
        return None

    def attach(self):
        return self.device() or run("losetup", "--find", "--show", self.image).stdout.strip()

    def wait_unmounted(self):
        """A dead host's file system may outlive it by a moment; mounting it again would find it shut down."""
        path = f"/sys/fs/ext4/{os.path.basename(self.device())}"
        wait_until(f"{self.image.name} is unmounted", lambda: not os.path.exists(path), 10, 0.01)


def attached():
    text = run("losetup", "--json", "--list", "--output", "NAME,BACK-FILE").stdout
    return json.loads(text)["loopdevices"] if text.strip() else []


def detach_below(directory):
    for device in attached():
        if (device["back-file"] or "").startswith(f"{directory}/"):
            run("losetup", "--detach", device["name"])
