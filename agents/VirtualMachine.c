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
    {"state_file", OCF_STRING, NULL, false, true, "path of the saved memory state",
     "Path, on shared storage, of the file that save writes and restore reads; FILE.meta beside it says what "
     "it belongs to."},
    {"tag", OCF_STRING, NULL, false, false, "tag of the saved state",
     "An opaque word stored with a saved state; restore refuses a state with another."},
    {"migration_uri", OCF_STRING, "qemu+ssh://%s/system", false, false, "libvirt URI of a migration's target",
     "How this host's libvirtd reaches the target's; %s stands for the target's name."},
    {"migration_data_uri", OCF_STRING, NULL, false, false, "URI of a migration's data",
     "Where the memory is sent, such as tcp://%s or tcp://%s.migration.example; %s stands for the target's "
     "name. Unset: what the "
     "target's libvirt says."},
    {"migrate_paused", OCF_BOOLEAN, "0", false, false, "leave the VM paused on the target",
     "The VM arrives paused and is resumed by its own action."},
    {"migrate_unsafe", OCF_BOOLEAN, "0", false, false, "trust that the disks are shared",
     "Set it only where the disks are known to be shared and coherent although libvirt does not recognise "
     "their file system."},
    {"migrate_auto_converge", OCF_BOOLEAN, "0", false, false,
     "slow the guest when it dirties memory too fast",
     "Throttle the guest's CPUs when a live migration does not converge."},
    {"migrate_bandwidth", OCF_INTEGER, "0", false, false, "bandwidth limit of a migration, MiB/s",
     "Bandwidth limit of a live migration in MiB/s; 0: libvirt's default."},
    {"migrate_max_downtime_ms", OCF_INTEGER, "0", false, false, "longest stop in a migration, ms",
     "The stop that a live migration aims at, in ms; 0: QEMU's default, 300."},
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
    {"migrate_to", 600, 0, migrate_to, NULL},
    {"migrate_from", 60, 0, migrate_from, NULL},
    {"validate-all", 30, 0, validate_all, NULL},
    {"save", 600, 0, save_save,
     "writes the memory to state_file and ends the VM; a failure leaves it running."},
    {"restore", 600, 0, save_restore,
     "reads it back, paused; refused when the tag, the file or a disk is not as it was at the save."},
    {"inventory", 5, 0, look_inventory,
     "one line for each VM on this host, whoever knows of it: libvirt, /proc or a lock that is held."},
    {"resume", 30, 0, run_resume,
     "resumes a paused VM (never the incoming half of a migration); given a state_file, deletes it then "
     "(S7)."},
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
