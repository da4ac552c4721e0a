//! The XenAPI error: a code and its parameters, as clients see it.
//!
//! Only codes of the catalogue (`datamodel::ERRORS`) belong on the wire; the generated constructors take exactly the declared
//! parameters. Causes and hints are not here: the log has the chain, `xe` has the hints.

use std::fmt;

/// A XenAPI error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Code, such as `VM_BAD_POWER_STATE`.
    pub code: Box<str>,
    /// Parameters in the order of the catalogue.
    pub params: Vec<String>,
}

impl Error {
    /// An error of that code; prefer the generated constructors, which know the parameters.
    pub fn new<P: Into<String>>(code: &str, params: impl IntoIterator<Item = P>) -> Self {
        Self { code: code.into(), params: params.into_iter().map(Into::into).collect() }
    }

    /// True if the code is `code`.
    pub fn is(&self, code: &str) -> bool {
        &*self.code == code
    }

    /// The parameter at `index`, or the empty text.
    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// `[code, params...]` as `task.error_info` keeps it.
    pub fn to_list(&self) -> Vec<String> {
        std::iter::once(self.code.to_string()).chain(self.params.iter().cloned()).collect()
    }

    /// From `[code, params...]`; `None` if the list is empty.
    pub fn from_list<S: AsRef<str>>(list: &[S]) -> Option<Self> {
        let (code, params) = list.split_first()?;
        Some(Self::new(code.as_ref(), params.iter().map(AsRef::as_ref)))
    }

    /// The wrong type was given for the named field or parameter.
    pub fn field_type_error(field: &str) -> Self {
        Self::new("FIELD_TYPE_ERROR", [field])
    }

    /// The value given for the named field or parameter is out of its range.
    pub fn invalid_value(field: &str, value: &str) -> Self {
        Self::new("INVALID_VALUE", [field, value])
    }

    /// The reference names no object of that class. For a session XenServer has a code of its own.
    pub fn handle_invalid(class: &str, handle: &str) -> Self {
        if class == "session" {
            return Self::new("SESSION_INVALID", [handle]);
        }
        Self::new("HANDLE_INVALID", [class, handle])
    }

    /// A message was called with the wrong number of parameters, the session not counted.
    pub fn parameter_count_mismatch(method: &str, expected: usize, received: usize) -> Self {
        Self::new(
            "MESSAGE_PARAMETER_COUNT_MISMATCH",
            [method.to_owned(), expected.to_string(), received.to_string()],
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        for (index, param) in self.params.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            f.write_str(param)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Checks an error against the catalogue: `None` if the code is unknown, else whether it has the declared number of parameters.
pub fn fits_catalogue(error: &Error) -> Option<bool> {
    let def = datamodel::error(&error.code)?;
    Some(def.params.is_none_or(|params| params.len() == error.params.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_named_here_are_in_the_catalogue_with_their_parameters() {
        let errors = [
            Error::field_type_error("f"),
            Error::invalid_value("f", "v"),
            Error::handle_invalid("VM", "x"),
            Error::handle_invalid("session", "x"),
            Error::parameter_count_mismatch("VM.start", 3, 1),
        ];
        for error in errors {
            assert_eq!(fits_catalogue(&error), Some(true), "{error}");
        }
        assert_eq!(fits_catalogue(&Error::new("VM_BAD_POWER_STATE", ["one"])), Some(false));
        assert_eq!(fits_catalogue(&Error::new("NO_SUCH_CODE", [""; 0])), None);
    }

    #[test]
    fn an_error_prints_its_code_and_parameters() {
        assert_eq!(Error::new("A", [""; 0]).to_string(), "A");
        assert_eq!(Error::new("A", ["b", "c"]).to_string(), "A: b, c");
        assert_eq!(
            Error::from_list(&Error::new("A", ["b"]).to_list()),
            Some(Error::new("A", ["b"]))
        );
    }
}
