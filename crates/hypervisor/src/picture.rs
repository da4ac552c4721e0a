//! Makes a PNG of what QEMU gives as a screenshot: PNG already, or a binary PPM from versions before 7.1.
//!
//! Not an image library: no compression is done (stored blocks), one pixel format is known.

/// The picture as PNG; `None` if it is neither PNG nor a binary PPM with 8 bits per channel.
pub(crate) fn png(picture: Vec<u8>) -> Option<Vec<u8>> {
    if picture.starts_with(PNG_SIGNATURE) { Some(picture) } else { png_of_ppm(&picture) }
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Most bytes in one stored block of deflate.
const STORED_MAX: usize = 0xffff;

fn png_of_ppm(ppm: &[u8]) -> Option<Vec<u8>> {
    let mut rest = ppm.strip_prefix(b"P6")?;
    let width = number(&mut rest)?;
    let height = number(&mut rest)?;
    if number(&mut rest)? != 255 || width == 0 || height == 0 {
        return None;
    }
    let row = (width as usize).checked_mul(3)?;
    let pixels = rest.get(1..)?.get(..row.checked_mul(height as usize)?)?;
    // Each row is preceded by its filter: none.
    let mut raw = Vec::with_capacity(pixels.len() + height as usize);
    for line in pixels.chunks_exact(row) {
        raw.push(0);
        raw.extend_from_slice(line);
    }
    let mut header = Vec::new();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut out = PNG_SIGNATURE.to_vec();
    chunk(&mut out, *b"IHDR", &header)?;
    chunk(&mut out, *b"IDAT", &zlib_stored(&raw))?;
    chunk(&mut out, *b"IEND", &[])?;
    Some(out)
}

/// The next decimal number after white space and comments.
fn number(rest: &mut &[u8]) -> Option<u32> {
    loop {
        match rest.first()? {
            b'#' => *rest = &rest[rest.iter().position(|byte| *byte == b'\n')?..],
            byte if byte.is_ascii_whitespace() => *rest = &rest[1..],
            _ => break,
        }
    }
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = rest.split_at(digits);
    *rest = tail;
    std::str::from_utf8(number).ok()?.parse().ok()
}

fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = data.chunks(STORED_MAX).count();
    for (index, block) in data.chunks(STORED_MAX).enumerate() {
        let length = u16::try_from(block.len()).expect("chunks are at most STORED_MAX long");
        out.push(u8::from(index + 1 == blocks));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend_from_slice(&((b << 16) | a).to_be_bytes());
    out
}

fn chunk(out: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(data.len()).ok()?.to_be_bytes());
    let start = out.len();
    out.extend_from_slice(&kind);
    out.extend_from_slice(data);
    let crc = crc32(&out[start..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Some(())
}

fn crc32(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_is_left_alone() {
        let picture = [PNG_SIGNATURE, b"rest"].concat();
        assert_eq!(png(picture.clone()), Some(picture));
    }

    #[test]
    fn a_ppm_becomes_a_png() {
        let picture =
            png(b"P6\n# by hand\n2 1\n255\n\x01\x02\x03\xff\xfe\xfd".to_vec()).expect("a PPM");
        // Checked with an independent decoder: 2x1 pixels, (1,2,3) and (255,254,253).
        let hex: String = picture.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex);
    }

    #[test]
    fn anything_else_is_no_picture() {
        for picture in [&b""[..], b"P6 2 1 255 short", b"P5 1 1 255 x", b"P6 0 0 255 ", b"GIF89a"] {
            assert_eq!(png(picture.to_vec()), None);
        }
    }
}
