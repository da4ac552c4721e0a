//! Where a server is: a unix socket, or a name or address with a port.

use std::fmt;
use std::path::PathBuf;

/// Port of the API unless one is given.
pub(crate) const DEFAULT_PORT: u16 = 443;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The API's socket on this machine.
    Unix(PathBuf),
    /// TLS to a name or address.
    Tls {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Target {
    /// TLS to that name or address and port.
    pub fn tls(host: impl Into<String>, port: u16) -> Self {
        Self::Tls { host: host.into(), port }
    }

    /// Reads `/path`, `host`, `host:port`, `1.2.3.4:port`, `[::1]:port`, `::1`, each perhaps after `https://`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') {
            return Some(Self::Unix(text.into()));
        }
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            // More than one colon without brackets is an IPv6 address without a port.
            None if text.matches(':').count() > 1 => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok())?;
        let strange = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
        (!host.is_empty() && !host.contains(strange)).then(|| Self::tls(host, port))
    }

    /// The same port at another address, as `HOST_IS_SLAVE` names one. A socket's sibling is at the default port.
    pub fn sibling(&self, address: &str) -> Option<Self> {
        let port = match self {
            Self::Unix(_) => DEFAULT_PORT,
            Self::Tls { port, .. } => *port,
        };
        match Self::parse(address)? {
            Self::Tls { host, .. } => Some(Self::Tls { host, port }),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tls { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_people_write_them() {
        for (text, printed) in [
            ("h1", "h1:443"),
            ("10.90.0.1:8443", "10.90.0.1:8443"),
            ("https://h1/", "h1:443"),
            ("[::1]:8443", "[::1]:8443"),
            ("[::1]", "[::1]:443"),
            ("fe80::1", "[fe80::1]:443"),
            ("/run/holdfast/api.sock", "/run/holdfast/api.sock"),
        ] {
            assert_eq!(
                Target::parse(text).map(|t| t.to_string()).as_deref(),
                Some(printed),
                "{text}"
            );
        }
        for text in ["", ":443", "h1:x", "h1:70000", "a b", "[::1", "user@h1", "h1/path"] {
            assert_eq!(Target::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_sibling_has_the_same_port() {
        let here = Target::tls("h1", 8443);
        assert_eq!(here.sibling("10.90.0.2"), Some(Target::tls("10.90.0.2", 8443)));
        assert_eq!(here.sibling("fe80::2"), Some(Target::tls("fe80::2", 8443)));
        assert_eq!(Target::Unix("/s".into()).sibling("h2"), Some(Target::tls("h2", 443)));
        assert_eq!(here.sibling(""), None);
    }
}
