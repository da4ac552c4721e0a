//! Which driver serves which SR type on this host.

use std::collections::BTreeMap;
use std::sync::Arc;

use driver_api::storage::SrDriver;

use crate::{FileDriver, IsoDriver};

/// The drivers of one host, by XenAPI type string. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DriverSet(Arc<BTreeMap<&'static str, Arc<dyn SrDriver>>>);

impl DriverSet {
    /// Every driver that this version has.
    pub fn standard() -> Self {
        Self::of([Arc::new(FileDriver::new()) as Arc<dyn SrDriver>, Arc::new(IsoDriver::new())])
    }

    /// Exactly these drivers; of two with the same type the later one counts.
    pub fn of(drivers: impl IntoIterator<Item = Arc<dyn SrDriver>>) -> Self {
        Self(Arc::new(drivers.into_iter().map(|driver| (driver.kind(), driver)).collect()))
    }

    /// The driver of a type; types are compared as XenServer does, in lower case.
    pub fn get(&self, kind: &str) -> Option<&Arc<dyn SrDriver>> {
        self.0.get(kind).or_else(|| self.0.get(kind.to_ascii_lowercase().as_str()))
    }

    /// Types and drivers, by type.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Arc<dyn SrDriver>)> {
        self.0.iter().map(|(kind, driver)| (*kind, driver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_is_found_by_its_own_type() {
        let set = DriverSet::standard();
        let kinds: Vec<_> = set.iter().map(|(kind, driver)| (kind, driver.kind())).collect();
        assert_eq!(kinds, [("file", "file"), ("iso", "iso")]);
        assert!(set.get("ISO").is_some() && set.get("lvm").is_none());
    }
}
