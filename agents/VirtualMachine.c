/* VirtualMachine: one libvirt domain as an OCF resource. The tables; the actions are in run, look, save,
 * migrate, … */
#include "ocf.h"
#include "vm.h"

static const struct ocf_param params[] = {
    {"config", OCF_STRING, NULL, true, true, "path of the VM's libvirt domain XML",
     "Path of the domain XML, the same on every node. It needs a name and a uuid; its writable disks need "
     "cache='none' or "
     "'directsync'. The domain is made transient: libvirt stores nothing of it."},
    {"uuid", OCF_STRING, NULL, false, true, "UUID of the VM",
     "UUID of the VM: lets actions that only need to know which VM is meant (monitor, stop, …) work without "
     "the config."},
    {"hypervisor", OCF_STRING, "qemu:///system", false, false, "libvirt URI of this host",
     "libvirt URI of this host."},
    {"lock_dir", OCF_STRING, "/run/clusterd/vms", false, false, "folder of the locks",
     "Folder, local to the host, of the locks that each action on a VM holds while it is at work."},
    {"launcher", OCF_INTEGER, "0", false, false, "pid of the process that launched the agent",
     "When set, an action that changes a VM does nothing if that process is no more its parent."},
    {"force", OCF_BOOLEAN, "0", false, false, "stop at once",
     "Stop without asking the guest: as if the power was cut."},
    {"grace_ms", OCF_INTEGER, "0", false, false, "time for the guest to shut down, ms",
     "How long a stop waits for the guest before it ends it by force; 0, or more than fits: as long as the "
     "time-out allows."},
    {NULL, OCF_STRING, NULL, false, false, NULL, NULL},
};

static const struct ocf_action actions[] = {
    {"start", 60, 0, run_start, NULL},
    {"stop", 120, 0, run_stop, NULL},
    {"monitor", 30, 10, look_monitor, NULL},
    {"inventory", 5, 0, look_inventory,
     "one line for each VM on this host, whoever knows of it: libvirt, /proc or a lock that is held."},
    {"resume", 30, 0, run_resume, "resumes a paused VM (never the incoming half of a migration)."},
    {"reset", 30, 0, run_reset, "resets a running VM as by its reset button."},
    {NULL, 0, 0, NULL, NULL},
};

static const struct ocf_agent agent = {
    "VirtualMachine",
    "A virtual machine (libvirt, QEMU)",
    "Starts, stops, watches and moves a virtual machine. libvirt is asked, and /proc is looked at: a VM "
    "counts as not running "
    "only when libvirt says so and no QEMU process of it exists, so neither a restart nor a hang of libvirtd "
    "is taken for "
    "its death.",
    params,
    actions,
};

int main(int argc, char **argv)
{
    return ocf_main(&agent, argc, argv);
}
