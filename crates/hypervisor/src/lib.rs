//! Domains on one host through libvirt: QEMU with KVM or TCG now, Xen in XML only.
//!
//! The face is [`LibvirtHypervisor`], an implementation of [`driver_api::hypervisor::Hypervisor`]; nothing else in
//! the project knows libvirt. Rooms:
//!
//! * [`domain_xml`]: the domain XML as a pure function of the spec; [`live_xml`] reads and rewrites XML of existing
//!   domains; [`xml`] is the tree under both.
//! * `ffi/`: the fenced door to libvirt's C interface, for what the `virt` crate lacks.
//! * `calls`: bounded threads with deadlines; `connection`: one connection that is kept up; `driver/`: the operations.
//! * [`acceleration`]: whether KVM really works; [`process`]: which process a guest is.
//!
//! Invariants: no caller waits longer than its limit, whatever libvirt's daemon does; domains are transient; the domain
//! XML depends on nothing but the spec and [`domain_xml::HostSupport`].

pub mod acceleration;
mod calls;
mod connection;
pub mod domain_xml;
mod driver;
mod failure;
mod ffi;
mod ghost;
pub mod live_xml;
mod picture;
pub mod process;
pub mod xml;

pub use driver::{LibvirtHypervisor, LibvirtOptions};
