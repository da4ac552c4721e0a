//! Numbers as people write them: sizes with a suffix, truth values, integers, and the texts that refuse the rest.
//!
//! The texts are XenServer's, because scripts and people know them.

use crate::command_line::parse_bool;
use crate::failure::Failure;

/// A size in bytes: a number with an optional suffix (`B`, `KiB`, `MiB`, `GiB`, `TiB`, with or without `iB`).
pub(crate) fn bytes(field: &str, text: &str) -> Result<i64, Failure> {
    parse_bytes(text).ok_or_else(|| {
        Failure::refused(format!(
            "Failed to parse field '{field}': expecting an integer (possibly with suffix KiB, MiB, GiB, TiB), got \
             '{text}'"
        ))
    })
}

/// The size, or nothing where the text is none.
pub(crate) fn parse_bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: i64 = text[..digits].parse().ok()?;
    let factor: i64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// An integer.
pub(crate) fn int(field: &str, text: &str) -> Result<i64, Failure> {
    text.trim().parse().map_err(|_| {
        Failure::refused(format!("Failed to parse parameter '{field}': expecting an integer"))
    })
}

/// A number with a point.
pub(crate) fn float(field: &str, text: &str) -> Result<f64, Failure> {
    text.trim().parse().ok().filter(|f: &f64| f.is_finite()).ok_or_else(|| {
        Failure::refused(format!("Failed to parse parameter '{field}': expecting a float"))
    })
}

/// A truth value.
pub(crate) fn boolean(field: &str, text: &str) -> Result<bool, Failure> {
    parse_bool(text).ok_or_else(|| {
        Failure::refused(format!(
            "Failed to parse parameter '{field}': Expected 'true','t','yes','y','1','false','f','no','n','0' got \
             {text}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_suffixes_xenserver_takes() {
        for (text, want) in [
            ("0", 0),
            ("1024", 1024),
            ("10GiB", 10 << 30),
            ("10 gib", 10 << 30),
            ("512m", 512 << 20),
            ("2TB", 2 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse_bytes(text), Some(want), "{text}");
        }
        for text in ["", "-1", "1.5GiB", "ten", "5PiB", "9999999999TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}
