"""A host's board management controller: ipmi_sim, with lab-power as the wire to the host's power supply."""

import os
import signal

from . import net
from .shell import run, wait_until

USER, PASSWORD = "admin", "lab-secret"

LAN_CONF = """name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} 623
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{power} chassis {dir}"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

EMULATOR = """mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


class Bmc:
    def __init__(self, lab, name, number):
        self.lab, self.name, self.number = lab, name, number
        self.dir = lab.dir / name
        self.pid_file = self.dir / "bmc.pid"

    def start(self):
        """Fine when it runs already."""
        if self.alive():
            return
        state = self.dir / "bmc"
        state.mkdir(exist_ok=True)
        (state / "lan.conf").write_text(LAN_CONF.format(
            name=self.name, address=net.bmc_address(self.number), guid=f"{self.number:032x}",
            power=self.lab.tool("lab-power"), dir=self.dir, user=USER, password=PASSWORD), encoding="ascii")
        (state / "emulator").write_text(EMULATOR, encoding="ascii")
        self.pid_file.write_text(str(self.lab.spawn_outside(
            ["ipmi_sim", "-n", "-c", state / "lan.conf", "-f", state / "emulator", "-s", state],
            state / "log")), encoding="ascii")

    def alive(self):
        return self.pid_file.exists() and int(self.pid_file.read_text(encoding="ascii")) in self.lab.outside.pids()

    def kill(self):
        if self.alive():
            os.kill(int(self.pid_file.read_text(encoding="ascii")), signal.SIGKILL)
            wait_until(f"the BMC of {self.name} ended", lambda: not self.alive(), 5, 0.01)

    def wait_ready(self):
        wait_until(f"the BMC of {self.name} answers", lambda: self._ipmitool().returncode == 0, 10)

    def power(self):
        """What it says of the host's power, asked over the network: "on", "off" or None (no answer)."""
        done = self._ipmitool()
        return done.stdout.split()[-1] if done.returncode == 0 else None

    def _ipmitool(self):
        return run("nsenter", f"--net={self.lab.network.path}", "ipmitool", "-I", "lanplus", "-C", 3, "-N", 1, "-R", 1,
                   "-H", net.bmc_address(self.number), "-U", USER, "-P", PASSWORD, "chassis", "power", "status",
                   check=False)

    def fence_parameters(self):
        return [f"ip={net.bmc_address(self.number)}", "ipport=623", f"username={USER}", f"password={PASSWORD}",
                "lanplus=1", "cipher=3", "power_wait=0"] # without a cipher ipmitool asks, and waits 10 s in vain
