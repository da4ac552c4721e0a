//! A tar archive in memory: plain files with short names, as POSIX `ustar` has them.

/// Size of everything in a tar file.
const BLOCK: usize = 512;

/// An archive in the making.
#[derive(Debug)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    at: u64,
}

impl Archive {
    /// An empty archive whose files are of that time, seconds since the epoch.
    pub(super) fn new(at: i64) -> Self {
        Self { bytes: Vec::new(), at: u64::try_from(at).unwrap_or(0) }
    }

    /// Adds a file. A name that is too long loses its middle.
    pub(super) fn add(&mut self, name: &str, content: &[u8]) {
        let (prefix, name) = split(name);
        let mut head = [0_u8; BLOCK];
        let mut put = |at: usize, text: &str| {
            head[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, &name);
        put(100, "0000600\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, &format!("{:011o}\0", self.at));
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\0");
        put(263, "00");
        put(345, &prefix);
        let sum: u32 = head.iter().map(|b| u32::from(*b)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(content);
        let rest = self.bytes.len() % BLOCK;
        if rest != 0 {
            self.bytes.resize(self.bytes.len() + BLOCK - rest, 0);
        }
    }

    /// The archive's bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }
}

/// A name of at most 100 bytes and a prefix of at most 155.
fn split(name: &str) -> (String, String) {
    if name.len() <= 100 {
        return (String::new(), name.to_owned());
    }
    let cut = name
        .char_indices()
        .filter(|(at, c)| *c == '/' && *at <= 155 && name.len() - at - 1 <= 100)
        .map(|(at, _)| at)
        .next();
    match cut {
        Some(at) => (name[..at].to_owned(), name[at + 1..].to_owned()),
        None => {
            let short: String = name.chars().filter(char::is_ascii).collect();
            let from = short.len().saturating_sub(60);
            (String::new(), format!("{}~{}", &short[..short.len().min(30)], &short[from..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_lengths_fit_the_head() {
        for name in ["a", &"d/".repeat(70), &"x".repeat(300), &format!("{}/é", "y".repeat(120))] {
            let (prefix, short) = split(name);
            assert!(prefix.len() <= 155 && short.len() <= 100, "{name}");
            if !prefix.is_empty() {
                assert_eq!(format!("{prefix}/{short}"), name);
            }
        }
    }

    #[test]
    fn an_archive_is_whole_blocks_with_an_end() {
        let mut archive = Archive::new(1);
        archive.add("a/b", b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len(), 4 * BLOCK);
        assert_eq!(&bytes[BLOCK..BLOCK + 5], b"hello");
        assert_eq!(&bytes[257..262], b"ustar");
    }
}
