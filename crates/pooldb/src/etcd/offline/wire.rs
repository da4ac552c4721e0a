//! Protocol buffers as far as etcd's files need them: fields of a message, in order.

use super::{OfflineError, malformed};

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed width; nothing we read has one.
    Fixed,
}

impl<'a> Field<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], OfflineError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => malformed("a field that should be bytes is a number"),
        }
    }

    pub(super) fn number(self) -> Result<u64, OfflineError> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => malformed("a field that should be a number is none"),
        }
    }

    /// `int64` on the wire: two's complement in a varint.
    pub(super) fn signed(self) -> Result<i64, OfflineError> {
        self.number().map(u64::cast_signed)
    }
}

/// The fields of a message, with their numbers.
pub(super) fn fields(mut rest: &[u8]) -> Result<Vec<(u64, Field<'_>)>, OfflineError> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)?),
            1 => take(&mut rest, 8).map(|_| Field::Fixed)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).unwrap_or(usize::MAX);
                Field::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Field::Fixed)?,
            other => return malformed(format!("a field of unknown wire type {other}")),
        };
        fields.push((tag >> 3, field));
    }
    Ok(fields)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], OfflineError> {
    let Some((taken, left)) = rest.split_at_checked(length) else {
        return malformed("a message ends within a field");
    };
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, OfflineError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let Some((byte, left)) = rest.split_first() else {
            return malformed("a message ends within a number");
        };
        *rest = left;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    malformed("a number that does not end")
}

/// Little-endian numbers at a place of a page.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, OfflineError> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// As [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, OfflineError> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// As [`u16_at`].
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, OfflineError> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// That many bytes from a place.
pub(super) fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], OfflineError> {
    match at.checked_add(length).and_then(|end| bytes.get(at..end)) {
        Some(slice) => Ok(slice),
        None => malformed("a place outside of its page"),
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], OfflineError> {
    let slice = slice(bytes, at, N)?;
    slice.try_into().or_else(|_| malformed("a place outside of its page"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_a_torn_message_is_an_error() {
        let message = [0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x18, 0x00];
        let read = fields(&message).expect("a message");
        let wanted = [(1, Field::Number(150)), (2, Field::Bytes(b"hi")), (3, Field::Number(0))];
        assert_eq!(read, wanted);
        assert!(fields(message.get(..6).expect("a part")).is_err());
        assert!(fields(&[0x80]).is_err());
        assert!(fields(&[0x0b]).is_err());
    }
}
