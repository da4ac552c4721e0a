//! Every decision, as a pure function from facts to a plan or a refusal.
//!
//! No async, no clock, no randomness, no log, no record and no database: callers build the small views below from one
//! snapshot and perform the plan that comes back. A [`Refusal`] is a value, not a fault; `holdfastd::api` maps it to a
//! XenAPI error. Plans say why in words an admin understands.
//!
//! * [`vm_ops`]: which operation is legal in which state (`allowed_operations` and the refusal come from one table).
//! * [`device_ops`]: the same for VBDs, VIFs, VDIs and SRs.
//! * [`placement`]: where a VM may run.
//! * [`disk_locks`]: who may have a VDI open.
//! * [`adoption`]: what to make of a guest that is found or missed on a host.
//! * [`diagnosis`]: what is true, who says so, what is safe and what to do; [`readiness`]: which failure would be survived.
//! * [`dump_schedule`]: when the pool database is dumped, and which old dumps make room.
//! * [`ha`]: which VMs run again after hosts were lost, and for how many failures that is promised.
//! * [`host_restore`]: whether a host may be given back what a backup holds.
//! * [`fence`]: when a boot of a host counts as ended.
//! * [`likeness`]: whether a host is enough like a pool's to join it.
//! * [`recovery`]: what recovering from a dead member does, and in which order VMs start.
//! * [`residents`]: VMs of unknown state that keep a host in its pool, and the way to resolve each.
//! * [`restore`]: what a restored database means on other hardware, and what of it can be used.
//! * [`sr_repair`]: which attachments of a repository are missing, and what is put there.

pub mod adoption;
pub mod device_ops;
pub mod diagnosis;
pub mod disk_layouts;
pub mod disk_locks;
pub mod dump_schedule;
pub mod fence;
pub mod ha;
pub mod host_restore;
pub mod likeness;
pub mod migration;
pub mod placement;
pub mod readiness;
pub mod recovery;
pub mod refusal;
pub mod residents;
pub mod restore;
pub mod sr_adoption;
pub mod sr_repair;
pub mod vm_ops;

pub use refusal::Refusal;
