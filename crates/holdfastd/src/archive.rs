//! A tar archive in memory: plain files with short names, as POSIX `ustar` has them; written, and read tolerantly.
//!
//! The reader takes what other programs write, too: names in a prefix, in GNU's long-name entries and in pax headers.
//! Nothing else than plain files comes out of it, and a name never leads out of the archive.

/// Size of everything in a tar file.
const BLOCK: usize = 512;

/// An archive in the making.
#[derive(Debug)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    at: u64,
}

impl Archive {
    /// An empty archive whose files are of that time, seconds since the epoch.
    pub(crate) fn new(at: i64) -> Self {
        Self { bytes: Vec::new(), at: u64::try_from(at).unwrap_or(0) }
    }

    /// Adds a file. A name that is too long loses its middle.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) {
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
    pub(crate) fn finish(mut self) -> Vec<u8> {
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

/// A file in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File<'a> {
    /// As written, without a leading `./`.
    pub(crate) name: String,
    /// All of it.
    pub(crate) content: &'a [u8],
}

/// Reads all plain files.
///
/// # Errors
/// Where the archive stops making sense, in words: nothing of it is to be used then.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<File<'_>>, String> {
    let mut files = Vec::new();
    let mut at = 0;
    let mut long_name: Option<String> = None;
    loop {
        let Some(head) = bytes.get(at..at + BLOCK) else {
            return Err(format!("it ends at byte {} without an end mark", bytes.len()));
        };
        if head.iter().all(|b| *b == 0) {
            return Ok(files);
        }
        let bad = |what: &str| format!("{what} in the header at byte {at}");
        let stored = octal(&head[148..156]).ok_or_else(|| bad("no checksum"))?;
        let sum: u64 = head.iter().enumerate().fold(0, |sum, (i, b)| {
            sum + u64::from(if (148..156).contains(&i) { b' ' } else { *b })
        });
        if stored != sum {
            return Err(bad("a wrong checksum"));
        }
        let size = octal(&head[124..136]).ok_or_else(|| bad("no size"))?;
        let size = usize::try_from(size).map_err(|_| bad("an impossible size"))?;
        let from = at + BLOCK;
        let content = from
            .checked_add(size)
            .and_then(|to| bytes.get(from..to))
            .ok_or_else(|| bad("a size beyond the archive's end"))?;
        match head[156] {
            b'0' | 0 | b'7' => {
                let name = long_name.take().unwrap_or_else(|| name_of(head));
                let name = name.trim_start_matches("./").to_owned();
                if name.is_empty()
                    || name.split('/').any(|part| part == "..")
                    || name.starts_with('/')
                {
                    return Err(bad("a name that leads out of the archive"));
                }
                files.push(File { name, content });
            }
            b'L' => long_name = Some(text_of(content)),
            b'x' => long_name = pax_path(content).or(long_name),
            // Directories, links and devices hold nothing for us.
            _ => long_name = None,
        }
        let whole = size.div_ceil(BLOCK).saturating_mul(BLOCK);
        at = from.checked_add(whole).ok_or_else(|| bad("an impossible size"))?;
    }
}

/// A number in octal digits, or in GNU's binary form.
fn octal(field: &[u8]) -> Option<u64> {
    if field.first().is_some_and(|b| b & 0x80 != 0) {
        let (high, low) = field.split_at(field.len().checked_sub(8)?);
        let fits = high.iter().skip(1).all(|b| *b == 0);
        return fits.then(|| low.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(|c| c == ' ' || c == '\0');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn name_of(head: &[u8]) -> String {
    let name = text_of(&head[..100]);
    let prefix = text_of(&head[345..500]);
    if &head[257..262] == b"ustar" && !prefix.is_empty() {
        format!("{prefix}/{name}")
    } else {
        name
    }
}

/// `path` of a pax header: lines of `LENGTH KEY=VALUE`.
fn pax_path(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let line = text.lines().find_map(|l| l.split_once(' ')?.1.strip_prefix("path="));
    line.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut archive = Archive::new(1);
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(90));
        archive.add("ova.xml", b"<value/>");
        archive.add(&long, &[7; 1000]);
        archive.add("empty", b"");
        let bytes = archive.finish();
        let files = read(&bytes).expect("reads");
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["ova.xml", long.as_str(), "empty"]);
        assert_eq!(files[1].content, [7; 1000]);
    }

    #[test]
    fn a_cut_or_changed_archive_is_refused_with_the_place() {
        let mut archive = Archive::new(1);
        archive.add("a", &[1; 600]);
        let bytes = archive.finish();
        for length in [0, 100, 512, 1000, 1536] {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        let mut changed = bytes.clone();
        changed[3] ^= 1;
        assert_eq!(
            read(&changed).expect_err("changed"),
            "a wrong checksum in the header at byte 0"
        );
        let mut outside = Archive::new(1);
        outside.add("../etc/passwd", b"x");
        assert!(read(&outside.finish()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..3000)) {
            let _ = read(&bytes);
        }

        #[test]
        fn one_changed_byte_makes_an_error_or_another_content(at in 0_usize..2048, with in 1_u8..) {
            let mut archive = Archive::new(1);
            archive.add("a", b"hello");
            let mut bytes = archive.finish();
            bytes[at] ^= with;
            let _ = read(&bytes);
        }
    }

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
