//! What a person states about hosts that are off: `h1,h2 are off`.

use uuid::Uuid;
use xenapi::Error;

use crate::api::errors;

/// The hosts that a statement names: labels or uuids, with commas or blanks between; `are off` at the end is for the ear.
///
/// # Errors
/// A word that names none of `known`, or several.
pub(crate) fn stated(statement: &str, known: &[(Uuid, String)]) -> Result<Vec<Uuid>, Error> {
    let mut hosts = Vec::new();
    let rest = statement.trim().trim_end_matches('.');
    let rest = ["are off", "is off"]
        .iter()
        .find_map(|end| rest.strip_suffix(end))
        .unwrap_or(rest)
        .replace(" and ", ",");
    let mut parts: Vec<&str> = rest.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
    let is_called =
        |(host, name): &(Uuid, String), part: &str| name == part || host.to_string() == part;
    // A label with blanks in it is one name; else blanks separate as commas do.
    if let [one] = parts[..]
        && !known.iter().any(|k| is_called(k, one))
    {
        parts = one.split_whitespace().collect();
    }
    for part in parts {
        let named: Vec<Uuid> =
            known.iter().filter(|k| is_called(k, part)).map(|(host, _)| *host).collect();
        match named.as_slice() {
            [one] => hosts.push(*one),
            [] => {
                return Err(errors::not_allowed(format!(
                    "'{part}' names no other host of this pool"
                )));
            }
            _ => {
                return Err(errors::not_allowed(format!(
                    "'{part}' names several hosts: give their uuids"
                )));
            }
        }
    }
    Ok(hosts)
}

/// The hosts as a statement names them. A label that two hosts share names neither.
pub(crate) fn phrase(known: &[(Uuid, String)], hosts: impl IntoIterator<Item = Uuid>) -> String {
    let names: Vec<String> = hosts
        .into_iter()
        .map(|host| {
            let found = known.iter().find(|(k, _)| *k == host);
            let unique =
                found.filter(|(_, name)| known.iter().filter(|(_, n)| n == name).count() == 1);
            unique.map_or_else(|| host.to_string(), |(_, name)| name.clone())
        })
        .collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_names_hosts_by_label_or_uuid_in_any_of_the_usual_ways() {
        let hosts = ["plot1", "plot 2", "twin", "twin"];
        let hosts: Vec<(Uuid, String)> =
            (1..).map(Uuid::from_u128).zip(hosts.map(str::to_owned)).collect();
        let of = |text: &str| stated(text, &hosts).map_err(|e| e.to_string());
        let id = Uuid::from_u128;
        assert_eq!(of(""), Ok(vec![]));
        assert_eq!(of("plot1 is off"), Ok(vec![id(1)]));
        assert_eq!(of("plot1, plot 2 are off."), Ok(vec![id(1), id(2)]));
        assert_eq!(of("plot1 and plot 2 are off"), Ok(vec![id(1), id(2)]));
        assert_eq!(of(&format!("{},{}", id(3), id(4))), Ok(vec![id(3), id(4)]));
        assert_eq!(of(&format!("{} {}", id(3), "plot1")), Ok(vec![id(3), id(1)]));
        assert!(of("twin are off").is_err_and(|e| e.contains("several")));
        assert!(of("plot9").is_err_and(|e| e.contains("plot9")));
        assert_eq!(phrase(&hosts, [id(2), id(3)]), format!("plot 2,{}", id(3)));
    }
}
