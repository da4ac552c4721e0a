//! `event.register`, `event.next`, `event.unregister`: the older interface of events, on top of the newer one.
//!
//! What a session has registered for, and how far it has heard, is kept in this host's memory: a client that goes to
//! another host is told `SESSION_NOT_REGISTERED` there and registers again, as it does after a restart of XenServer's
//! toolstack. Root without a session has one register of its own. Bounded by [`MOST`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use xenapi::{Error, Value};

use crate::Daemon;
use crate::api::Caller;
use crate::api::auth::SessionKey;
use crate::events::{Interest, Token};

/// Most registers on one host; the one that was read longest ago goes first.
const MOST: usize = 512;
/// Longest wait of `event.next`: it has no limit of its own, and no call hangs. Clients call again.
const WAIT: Duration = Duration::from_secs(28);

#[derive(Debug, Clone)]
struct Register {
    interest: Interest,
    heard: Token,
    /// Raised by every use.
    used: u64,
}

/// The registers of one host.
#[derive(Debug, Default)]
pub struct Registers(Mutex<(u64, HashMap<Option<SessionKey>, Register>)>);

impl Registers {
    fn with<T>(
        &self,
        session: &Option<SessionKey>,
        change: impl FnOnce(&mut Option<Register>, u64) -> T,
    ) -> T {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (clock, all) = &mut *guard;
        *clock += 1;
        let mut register = all.remove(session);
        let answer = change(&mut register, *clock);
        if let Some(register) = register {
            if all.len() >= MOST
                && let Some(oldest) = all.iter().min_by_key(|(_, r)| r.used).map(|(k, _)| k.clone())
            {
                all.remove(&oldest);
            }
            all.insert(session.clone(), register);
        }
        answer
    }

    /// A session has ended.
    pub fn forget(&self, session: &SessionKey) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        guard.1.remove(&Some(session.clone()));
    }
}

/// `event.register(classes)`: hears of them from now on.
///
/// # Errors
/// A subscription that can't be read.
pub async fn register<'a>(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    classes: impl Iterator<Item = &'a str>,
) -> Result<Value, Error> {
    let interest = Interest::parse(classes)?;
    let now = Token::of(&daemon.view().await);
    daemon.event_registers.with(&caller.session, |register, used| match register {
        Some(register) => {
            register.interest.add(interest);
            register.used = used;
        }
        none => *none = Some(Register { interest, heard: now, used }),
    });
    Ok(Value::Void)
}

/// `event.unregister(classes)`.
///
/// # Errors
/// A subscription that can't be read.
pub fn unregister<'a>(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    classes: impl Iterator<Item = &'a str>,
) -> Result<Value, Error> {
    let interest = Interest::parse(classes)?;
    daemon.event_registers.with(&caller.session, |register, _| {
        if register.as_mut().is_some_and(|r| !r.interest.remove(&interest)) {
            *register = None;
        }
    });
    Ok(Value::Void)
}

/// `event.next()`: waits for events; none after [`WAIT`].
///
/// # Errors
/// `SESSION_NOT_REGISTERED`; `EVENTS_LOST`, after which it goes on from now.
pub async fn next(daemon: &Arc<Daemon>, caller: &Caller) -> Result<Value, Error> {
    let found = daemon.event_registers.with(&caller.session, |register, used| {
        let register = register.as_mut()?;
        register.used = used;
        Some((register.interest.clone(), register.heard))
    });
    let Some((interest, heard)) = found else {
        return Err(Error::new("SESSION_NOT_REGISTERED", [caller.user.as_str()]));
    };
    let answer = crate::events::after(daemon, &interest, heard, WAIT).await;
    let now = match &answer {
        Ok((_, now)) => *now,
        Err(error) if error.is("EVENTS_LOST") => Token::of(&daemon.store().view()),
        Err(_) => heard,
    };
    daemon.event_registers.with(&caller.session, |register, _| {
        if let Some(register) = register {
            register.heard = now;
        }
    });
    answer.map(|(events, _)| events)
}
