//! What XenServer's storage manager makes of a volume group: names that mean something, a volume with the disks' names, journals.

pub mod mgt;
pub mod names;
