"""A pool's day through Python's XenAPI from PyPI, unmodified.

Logs in to every host, makes a VM from a template and takes it through its life, hears of each step by events, then has
the coordinator's power cut and goes on at a survivor with the session and the event token it had.

Called by tests/clients.rs with one argument: the facts of the lab as JSON.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid

import XenAPI

FACTS = json.loads(sys.argv[1])
MEMORY = 128 << 20
# No call of the API takes longer (30 s), and a task of the practice pool not much longer.
PATIENCE = 60


def session_on(host):
    session = XenAPI.Session("https://" + host["api"], ignore_ssl=True)
    session.login_with_password(FACTS["user"], FACTS["password"], "2.0", "pool-story")
    return session


def lab(*arguments):
    subprocess.run(FACTS["lab"] + list(arguments), check=True, stdin=subprocess.DEVNULL)


def step(what, since=None):
    took = "" if since is None else " (%.2f s)" % (time.monotonic() - since)
    print("python: %s%s" % (what, took), flush=True)


class Watcher:
    """Follows event.from with its token, as every caller of the plain API does."""

    def __init__(self, session, classes):
        self.session = session
        self.classes = classes
        self.token = ""
        self.seen = []
        self.pull(1.0)

    def pull(self, timeout):
        batch = event_from(self.session)(self.classes, self.token, timeout)
        self.token = batch["token"]
        self.seen.extend(batch["events"])
        return batch

    def until(self, what, wanted, patience=PATIENCE):
        start = time.monotonic()
        looked = 0
        while True:
            for event in self.seen[looked:]:
                looked += 1
                if wanted(event):
                    self.seen = self.seen[looked:]
                    return event
            if time.monotonic() - start > patience:
                raise AssertionError("no event within %d s: %s" % (patience, what))
            self.pull(5.0)


def event_from(session):
    """`session.xenapi.event.from` can't be written down in Python: `from` is a keyword."""
    return getattr(session.xenapi.event, "from")


def every_host_lets_a_client_in():
    refs = set()
    names = set()
    for host in FACTS["hosts"]:
        session = session_on(host)
        hosts = session.xenapi.host.get_all_records()
        names.add(frozenset(record["name_label"] for record in hosts.values()))
        refs.add(session.xenapi.pool.get_all()[0])
        session.xenapi.session.logout()
    assert len(refs) == 1, "one pool, whichever host is asked: %s" % refs
    assert names == {frozenset(host["name"] for host in FACTS["hosts"])}, names
    step("logged in to %d hosts, all show the same pool" % len(FACTS["hosts"]))


def a_session_of_one_host_is_known_at_every_other():
    first = session_on(FACTS["hosts"][0])
    for host in FACTS["hosts"][1:]:
        other = XenAPI.Session("https://" + host["api"], ignore_ssl=True)
        # What XenAPI.Session does after a login.
        other._session = first._session
        assert other.xenapi.session.get_auth_user_name(first._session) == FACTS["user"]
        assert other._session == first._session, "the client had to log in again"
    first.xenapi.session.logout()
    step("a session made at %s is good everywhere" % FACTS["hosts"][0]["name"])


def disk_of_the_test_guest(session):
    """Puts the image into the shared SR's directory and lets the pool find it there."""
    sr = session.xenapi.SR.get_by_name_label("shared")[0]
    vdi_uuid = str(uuid.uuid4())
    shutil.copy(FACTS["image"], os.path.join(FACTS["shared"], vdi_uuid + ".qcow2"))
    session.xenapi.SR.scan(sr)
    return session.xenapi.VDI.get_by_uuid(vdi_uuid)


def a_vm_is_made_from_a_template(session, name):
    template = session.xenapi.VM.get_by_name_label("Other install media")[0]
    vm = session.xenapi.VM.clone(template, name)
    session.xenapi.VM.provision(vm)
    assert not session.xenapi.VM.get_is_a_template(vm)
    session.xenapi.VM.set_memory_limits(vm, str(MEMORY), str(MEMORY), str(MEMORY), str(MEMORY))
    session.xenapi.VM.set_HVM_boot_policy(vm, "BIOS order")
    session.xenapi.VM.set_HVM_boot_params(vm, {"order": "c"})
    golden = disk_of_the_test_guest(session)
    vdi = session.xenapi.VDI.clone(golden)
    session.xenapi.VBD.create({
        "VM": vm, "VDI": vdi, "userdevice": "0", "bootable": True, "mode": "RW", "type": "Disk",
        "unpluggable": False, "empty": False, "other_config": {}, "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    })
    networks = session.xenapi.network.get_all_records()
    network = next(ref for ref, record in networks.items() if record["bridge"] == "xenbr0")
    session.xenapi.VIF.create({
        "device": "0", "network": network, "VM": vm, "MAC": "", "MTU": "1500", "other_config": {},
        "qos_algorithm_type": "", "qos_algorithm_params": {},
    })
    record = session.xenapi.VM.get_record(vm)
    assert record["name_label"] == name and len(record["VBDs"]) == 1 and len(record["VIFs"]) == 1, record
    assert record["power_state"] == "Halted", record["power_state"]
    assert "start" in record["allowed_operations"], record["allowed_operations"]
    assert record["memory_static_max"] == str(MEMORY), record["memory_static_max"]
    step("made %s from a template" % name)
    return vm


def power_state_follows(session, watcher, vm, what, call, state):
    since = time.monotonic()
    call()
    assert session.xenapi.VM.get_power_state(vm) == state, what
    watcher.until("%s is %s" % (what, state), lambda e: e["class"] == "vm" and e["ref"] == vm
                  and e.get("snapshot", {}).get("power_state") == state)
    step("%s: %s, and the event came" % (what, state), since)


def a_vm_lives(session, watcher, vm):
    api = session.xenapi.VM

    def follow(what, call, state):
        power_state_follows(session, watcher, vm, what, call, state)

    follow("start", lambda: api.start(vm, False, False), "Running")
    try:
        api.start(vm, False, False)
        raise AssertionError("a running VM was started")
    except XenAPI.Failure as failure:
        assert failure.details == ["VM_BAD_POWER_STATE", vm, "Halted", "Running"] \
            or failure.details[0] == "VM_BAD_POWER_STATE", failure.details
    follow("pause", lambda: api.pause(vm), "Paused")
    follow("unpause", lambda: api.unpause(vm), "Running")
    follow("suspend", lambda: api.suspend(vm), "Suspended")
    follow("resume", lambda: api.resume(vm, False, False), "Running")

    snapshot = api.snapshot(vm, "before the move")
    assert api.get_snapshot_of(snapshot) == vm
    assert snapshot in api.get_snapshots(vm)
    watcher.until("the snapshot", lambda e: e["class"] == "vm" and e["ref"] == snapshot)
    step("snapshot: there, with its event")

    here = api.get_resident_on(vm)
    if len(FACTS["hosts"]) > 1:
        since = time.monotonic()
        target = next(h for h in session.xenapi.host.get_all() if h != here)
        task = session.xenapi.Async.VM.pool_migrate(vm, target, {"live": "true"})
        ended = watcher.until("the end of the migration's task", lambda e: e["class"] == "task"
                              and e["ref"] == task and e.get("snapshot", {}).get("status") != "pending")
        assert ended["snapshot"]["status"] == "success", ended["snapshot"]["error_info"]
        assert api.get_resident_on(vm) == target
        session.xenapi.task.destroy(task)
        step("migrate: moved live", since)


def a_vm_stops(session, watcher, vm):
    api = session.xenapi.VM
    for snapshot in api.get_snapshots(vm):
        disks = [session.xenapi.VBD.get_VDI(vbd) for vbd in api.get_VBDs(snapshot)]
        api.destroy(snapshot)
        for disk in disks:
            session.xenapi.VDI.destroy(disk)
    power_state_follows(session, watcher, vm, "stop", lambda: api.hard_shutdown(vm), "Halted")
    api.destroy(vm)
    watcher.until("the VM's end", lambda e: e["class"] == "vm" and e["ref"] == vm and e["operation"] == "del")
    try:
        api.get_record(vm)
        raise AssertionError("a destroyed VM has a record")
    except XenAPI.Failure as failure:
        assert failure.details == ["HANDLE_INVALID", "VM", vm], failure.details
    step("stopped and destroyed")


# proves: S1-17 (lab)
def a_survivor_carries_on(session, watcher, vm, coordinator):
    """The session and the token of before, at a host that lives on."""
    token_of_before = session._session
    lab("fail", coordinator["name"], "power")
    since = time.monotonic()
    # Reads go on at once.
    assert session.xenapi.VM.get_record(vm)["uuid"]
    step("power of %s cut; a read answered" % coordinator["name"], since)
    refused = 0
    while True:
        try:
            session.xenapi.VM.set_name_description(vm, "written after the cut")
            break
        except XenAPI.Failure as failure:
            # The one thing a client may be told meanwhile; the session is not in question.
            assert failure.details[0] == "HOST_IN_EMERGENCY_MODE", failure.details
            refused += 1
            assert time.monotonic() - since < 30, "no write within 30 s"
            time.sleep(0.1)
    step("first write accepted after %d refusals" % refused, since)
    watcher.until("the write's event", lambda e: e["class"] == "vm" and e["ref"] == vm
                  and e.get("snapshot", {}).get("name_description") == "written after the cut")
    step("the event came under the token of before", since)

    def another():
        assert session.xenapi.pool.get_all_records().popitem()[1]["master"] != coordinator["ref"]

    while True:
        try:
            another()
            break
        except AssertionError:
            assert time.monotonic() - since < 30, "no new coordinator within 30 s"
            time.sleep(0.1)
    step("another coordinator is named", since)
    assert session._session == token_of_before, "the client had to log in again"


def main():
    every_host_lets_a_client_in()
    a_session_of_one_host_is_known_at_every_other()
    session = session_on(FACTS["hosts"][-1])
    master = session.xenapi.pool.get_all_records().popitem()[1]["master"]
    name = session.xenapi.host.get_name_label(master)
    coordinator = next(dict(h, ref=master) for h in FACTS["hosts"] if h["name"] == name)
    survivor = next((h for h in FACTS["hosts"] if h["name"] != name), FACTS["hosts"][0])
    session = session_on(survivor)
    watcher = Watcher(session, ["vm", "task"])
    vm = a_vm_is_made_from_a_template(session, "python's")
    watcher.until("the new VM", lambda e: e["class"] == "vm" and e["ref"] == vm)
    a_vm_lives(session, watcher, vm)
    if len(FACTS["hosts"]) > 2:
        survivor_ref = session.xenapi.host.get_by_name_label(survivor["name"])[0]
        if session.xenapi.VM.get_resident_on(vm) == master:
            session.xenapi.VM.pool_migrate(vm, survivor_ref, {"live": "true"})
        a_survivor_carries_on(session, watcher, vm, coordinator)
    a_vm_stops(session, watcher, vm)
    session.xenapi.session.logout()


main()
