//! The names this machine goes by: what its host configuration says, and its host name.
//!
//! Only read, and only where the server cannot say which host it is.

/// Bootstrap configuration of the host daemon.
const CONFIGURATION: &str = "/etc/holdfast/holdfast.toml";

/// Address, name and host name of this machine, those that are known.
pub(crate) fn names() -> Vec<String> {
    let mut names =
        std::fs::read_to_string(CONFIGURATION).map_or_else(|_| vec![], |t| host_section(&t));
    let system = rustix::system::uname();
    names.push(system.nodename().to_string_lossy().into_owned());
    names
}

/// Values of `name` and `address` in the section `[host]`.
fn host_section(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.starts_with("[host]");
        }
        // Several pairs may stand in one line after the section's name.
        let rest = line.strip_prefix("[host]").unwrap_or(line);
        if !inside {
            continue;
        }
        let mut parts = rest.split('"');
        while let (Some(before), Some(value)) = (parts.next(), parts.next()) {
            if matches!(before.trim().trim_end_matches('=').trim_end(), "name" | "address") {
                found.push(value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::host_section;

    #[test]
    fn the_hosts_own_names_are_read_from_its_section_only() {
        let text = "[host]\nname = \"h1\"\naddress=\"10.90.0.1\"\n[api]\nname = \"other\"\n";
        let found = host_section(text);
        assert_eq!(found, ["h1", "10.90.0.1"]);
    }
}
