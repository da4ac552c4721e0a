//! Hands domain events to any number of readers without ever waiting for one.
//!
//! Invariant: a reader that loses an event finds a [`DomainEventKind::Reconnected`] behind the gap. The last slot of
//! each reader's queue is kept for that mark: an event that finds only this slot free becomes the mark, and an event
//! that finds no slot at all is lost *behind* an unread mark. Used by the libvirt driver and by the fake alike.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::hypervisor::{DomainEvent, DomainEventKind};

/// Events that one reader may have waiting, the mark included.
pub const EVENT_QUEUE_LEN: usize = 1024;

/// All present readers of one hypervisor's events.
#[derive(Debug)]
pub struct EventFan {
    readers: Mutex<Vec<mpsc::Sender<DomainEvent>>>,
    queue_len: usize,
}

impl Default for EventFan {
    fn default() -> Self {
        Self::with_queue_len(EVENT_QUEUE_LEN)
    }
}

impl EventFan {
    /// A fan whose readers may each have `queue_len` (at least 2) events waiting.
    pub fn with_queue_len(queue_len: usize) -> Self {
        Self { readers: Mutex::default(), queue_len: queue_len.max(2) }
    }

    /// A new reader; it sees what is published from now on.
    pub fn subscribe(&self) -> mpsc::Receiver<DomainEvent> {
        let (sender, receiver) = mpsc::channel(self.queue_len);
        self.lock().push(sender);
        receiver
    }

    /// Hands `event` to every reader; never blocks. Readers that have gone are forgotten.
    pub fn publish(&self, event: DomainEvent) {
        self.lock().retain(|reader| {
            if reader.is_closed() {
                return false;
            }
            // The lock makes this the only sender, so capacity can only grow meanwhile and `try_send` can't fail for
            // want of it. A reader closing in between loses nothing that matters.
            match reader.capacity() {
                0 => {}
                1 => drop(reader.try_send(reconnected())),
                _ => drop(reader.try_send(event.clone())),
            }
            true
        });
    }

    /// Tells every reader that events may have been missed.
    pub fn publish_reconnected(&self) {
        self.publish(reconnected());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<mpsc::Sender<DomainEvent>>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reconnected() -> DomainEvent {
    DomainEvent { vm: Uuid::nil(), what: DomainEventKind::Reconnected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: DomainEventKind) -> DomainEvent {
        DomainEvent { vm: Uuid::from_u128(7), what }
    }

    fn drain(reader: &mut mpsc::Receiver<DomainEvent>) -> Vec<DomainEventKind> {
        std::iter::from_fn(|| reader.try_recv().ok()).map(|event| event.what).collect()
    }

    #[test]
    fn every_reader_gets_every_event() {
        let fan = EventFan::default();
        let (mut one, mut two) = (fan.subscribe(), fan.subscribe());
        fan.publish(event(DomainEventKind::Started));
        fan.publish(event(DomainEventKind::Resumed));
        assert_eq!(drain(&mut one), [DomainEventKind::Started, DomainEventKind::Resumed]);
        assert_eq!(drain(&mut two), [DomainEventKind::Started, DomainEventKind::Resumed]);
    }

    #[test]
    fn a_slow_reader_finds_reconnected_behind_the_gap_and_goes_on() {
        let fan = EventFan::with_queue_len(3);
        let mut reader = fan.subscribe();
        for _ in 0..5 {
            fan.publish(event(DomainEventKind::Started));
        }
        assert_eq!(
            drain(&mut reader),
            [DomainEventKind::Started, DomainEventKind::Started, DomainEventKind::Reconnected]
        );
        fan.publish(event(DomainEventKind::Suspended));
        assert_eq!(drain(&mut reader), [DomainEventKind::Suspended]);
    }

    #[test]
    fn a_reader_that_went_away_is_forgotten() {
        let fan = EventFan::default();
        drop(fan.subscribe());
        fan.publish(event(DomainEventKind::Started));
        assert!(fan.lock().is_empty());
    }
}
