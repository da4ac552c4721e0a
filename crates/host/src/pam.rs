//! Logins of this machine's own accounts, through PAM.
//!
//! PAM modules may sleep (a wrong password costs two seconds) or hang (a directory server that is gone): callers run
//! [`authenticate`] on a blocking thread and stop waiting after their own limit. The password is erased from our
//! memory when the call returns.

use crate::sys;

/// Why a login was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PamError {
    /// No such user, or a wrong password: the two are not told apart.
    #[error("wrong name or password")]
    WrongPassword,
    /// The password is right, but the account may not log in (expired, locked, not now).
    #[error("the account may not log in: {0}")]
    AccountUnusable(String),
    /// PAM itself did not work (no such service, a module missing).
    #[error("PAM does not work: {0}")]
    Broken(String),
    /// Name or password can't be handed to PAM (a zero byte inside).
    #[error("the name or password holds a zero byte")]
    Malformed,
}

/// Checks a password of `user` by the rules of `/etc/pam.d/<service>`, and that the account may log in now. Blocks.
pub fn authenticate(service: &str, user: &str, password: &str) -> Result<(), PamError> {
    sys::pam::authenticate(service, user, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_is_refused_before_pam_sees_it() {
        assert_eq!(authenticate("login", "ro\0ot", "x"), Err(PamError::Malformed));
        assert_eq!(authenticate("login", "root", "x\0y"), Err(PamError::Malformed));
    }

    #[test]
    fn an_unknown_user_is_refused() {
        let refused = authenticate("holdfast-no-such-service", "no-such-user-here", "secret");
        assert!(refused.is_err());
    }
}
