//! libpam: one conversation that answers every hidden question with the password. Linux-PAM's ABI, see `pam_start(3)`,
//! `pam_conv(3)`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

use nix::libc;

use crate::pam::PamError;

const PAM_SUCCESS: c_int = 0;
const PAM_BUF_ERR: c_int = 5;
const PAM_AUTH_ERR: c_int = 7;
const PAM_USER_UNKNOWN: c_int = 10;
const PAM_MAXTRIES: c_int = 11;
const PAM_CONV_ERR: c_int = 19;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_PROMPT_ECHO_ON: c_int = 2;
const PAM_SILENT: c_int = 0x8000;
const PAM_DISALLOW_NULL_AUTHTOK: c_int = 0x1;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    unused: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_start(
        service: *const c_char,
        user: *const c_char,
        conversation: *const Conversation,
        handle: *mut *mut c_void,
    ) -> c_int;
    fn pam_authenticate(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut c_void, flags: c_int) -> c_int;
    fn pam_end(handle: *mut c_void, status: c_int) -> c_int;
    fn pam_strerror(handle: *mut c_void, status: c_int) -> *const c_char;
}

/// What the conversation answers with; erased when dropped.
struct Answers {
    user: CString,
    password: Vec<u8>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        for byte in &mut self.password {
            // SAFETY: `byte` is a valid, exclusive reference; volatile keeps the write although nobody reads it.
            unsafe { ptr::write_volatile(byte, 0) };
        }
        compiler_fence(Ordering::SeqCst);
    }
}

/// Called by PAM's modules with `count` questions; allocates the answers with malloc, PAM frees them.
extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Ok(count) = usize::try_from(count) else { return PAM_CONV_ERR };
    if count == 0 || count > 32 || messages.is_null() || responses.is_null() || data.is_null() {
        return PAM_CONV_ERR;
    }
    // SAFETY: `data` is the `Answers` that `authenticate` keeps alive until after `pam_end`; nobody writes to it.
    let answers = unsafe { &*data.cast::<Answers>() };
    // SAFETY: calloc of a plain C struct; the result is checked for null before use.
    let array = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if array.is_null() {
        return PAM_BUF_ERR;
    }
    for index in 0..count {
        // SAFETY: Linux-PAM passes an array of `count` pointers to messages, all valid during this call.
        let style = unsafe { (**messages.add(index)).style };
        let answer: *const c_char = match style {
            PAM_PROMPT_ECHO_OFF => answers.password.as_ptr().cast(),
            PAM_PROMPT_ECHO_ON => answers.user.as_ptr(),
            // Information and error texts need no answer.
            _ => continue,
        };
        // SAFETY: both answers end in a zero byte; `index` is below the array's length.
        unsafe { (*array.add(index)).text = libc::strdup(answer) };
    }
    // SAFETY: `responses` is PAM's place for the result, checked above.
    unsafe { *responses = array };
    PAM_SUCCESS
}

pub(crate) fn authenticate(service: &str, user: &str, password: &str) -> Result<(), PamError> {
    let service = CString::new(service).map_err(|_| PamError::Malformed)?;
    let user = CString::new(user).map_err(|_| PamError::Malformed)?;
    if password.as_bytes().contains(&0) {
        return Err(PamError::Malformed);
    }
    // One allocation of the full size: growing would leave copies behind.
    let mut bytes = Vec::with_capacity(password.len() + 1);
    bytes.extend_from_slice(password.as_bytes());
    bytes.push(0);
    let answers = Box::new(Answers { user, password: bytes });
    let data = ptr::from_ref::<Answers>(&answers).cast_mut().cast::<c_void>();
    let conversation = Conversation { converse, data };
    let mut handle = ptr::null_mut();
    // SAFETY: strings end in zero; `conversation` and `answers` live until after `pam_end` below.
    let started =
        unsafe { pam_start(service.as_ptr(), answers.user.as_ptr(), &conversation, &mut handle) };
    if started != PAM_SUCCESS || handle.is_null() {
        return Err(PamError::Broken(format!("pam_start returned {started}")));
    }
    // SAFETY: `handle` comes from a successful pam_start and is used on this thread only.
    let mut status = unsafe { pam_authenticate(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK) };
    let known = status == PAM_SUCCESS;
    if known {
        // SAFETY: as above.
        status = unsafe { pam_acct_mgmt(handle, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK) };
    }
    let result = match status {
        PAM_SUCCESS => Ok(()),
        _ if known => Err(PamError::AccountUnusable(message(handle, status))),
        PAM_AUTH_ERR | PAM_USER_UNKNOWN | PAM_MAXTRIES => Err(PamError::WrongPassword),
        _ => Err(PamError::Broken(message(handle, status))),
    };
    // SAFETY: ends the handle made above, exactly once.
    unsafe { pam_end(handle, status) };
    drop(answers);
    result
}

fn message(handle: *mut c_void, status: c_int) -> String {
    // SAFETY: `handle` is live; the returned text is static or null.
    let text = unsafe { pam_strerror(handle, status) };
    if text.is_null() {
        return format!("status {status}");
    }
    // SAFETY: not null, and ends in zero by PAM's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
