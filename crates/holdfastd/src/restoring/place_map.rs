//! A person's words on how a repository is reached from here: `sr-map:nfs=server=10.0.0.9;serverpath=/new`.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::View;
use crate::app::text;

/// Connections by repository, as pairs that replace those of the dump.
pub(super) type Places = BTreeMap<Uuid, Vec<(String, String)>>;

/// Reads the map.
///
/// # Errors
/// A name that is no repository of the dump, or several; a connection that is none.
pub(super) fn read(lost: &View, srs: &BTreeMap<String, String>) -> Result<Places, String> {
    let mut places = Places::new();
    for (name, connection) in srs {
        let mut found = lost
            .records("SR")
            .filter(|sr| text(sr, "name_label") == name || sr.uuid().to_string() == *name);
        let sr = found.next().filter(|_| found.next().is_none()).ok_or_else(|| {
            format!("the dump has no repository '{name}', or several: give its uuid in sr-map")
        })?;
        let pairs: Option<Vec<(String, String)>> = connection
            .split(';')
            .map(str::trim)
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())))
            .collect();
        let pairs = pairs.filter(|p| !p.is_empty()).ok_or_else(|| {
            format!("sr-map:{name}={connection} is no connection; such as sr-map:{name}=location=/mnt/new")
        })?;
        places.insert(sr.uuid(), pairs);
    }
    Ok(places)
}
