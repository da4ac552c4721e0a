//! Who may write a volume: a lease on the volume's own storage, agreed on by reading and writing sectors alone.
//!
//! Each host has one sector (its *slot*) per volume and writes nothing else. Turns follow each other: turn `n` is given to
//! one owner by Disk Paxos (Gafni and Lamport, one disk), and turn `n + 1` begins only for a host that knows that turn
//! `n`'s owner has released it or is proved to have ended.
//!
//! ```text
//!  Acquire ─► read all ─► write ballot ─► read all ─► write value ─► read all ─► decided: me ─► Held
//!                ▲            │ a later turn,  │ a higher ballot        │
//!                └────────────┴────────────────┴── try again (limit) ◄──┘  decided: other ─► released or ended? next turn
//!                                                                                         └► else HeldBy(other)
//! ```
//!
//! Not a fence: whether an owner has ended is the caller's knowledge (`ended`), and it must be a proof. Not a clock
//! either: the owner's own stop in time is [`crate::countdown`]'s business.
//!
//! Invariants: one command is outstanding at a time; a host's ballot within a turn never falls, also over a crash,
//! because its own sector is read first; a block of a newer pool epoch ends every attempt of an older one (S1-5).

/// A host's place in the volume's lease.
pub type Slot = u8;

/// Most slots of a lease: the hosts of a pool.
pub const MAX_SLOTS: usize = 64;

/// Rounds of one attempt before it gives up as contended.
pub const ROUNDS: u8 = 8;

/// One boot of the host in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// The slot.
    pub slot: Slot,
    /// Which boot, as a number.
    pub boot: u128,
}

/// A slot's sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Block {
    /// Lineage of the pool's database, and election of its coordinator, under which it was written.
    pub pool_epoch: u64,
    /// See `pool_epoch`.
    pub term: u64,
    /// The turn that the ballots are about; zero in a sector that was never written.
    pub turn: u64,
    /// Highest ballot that this slot has begun in this turn.
    pub ballot: u64,
    /// Ballot in which it accepted `value`; zero if it accepted none in this turn.
    pub accepted: u64,
    /// What it accepted.
    pub value: Option<Owner>,
    /// Highest turn that this slot owned and has released.
    pub released: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Get the lease. Ignored unless idle.
    Acquire,
    /// Give it back. Ignored unless held.
    Release,
    /// The slot was read.
    Read(Slot, Block),
    /// The write is on the storage, and was read back.
    Written,
    /// The read or write failed. A failed write may land later, unless the caller can rule it out.
    Failed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Read that slot, past every cache.
    Read(Slot),
    /// Write the own slot, durably.
    Write(Block),
    /// The attempt is over.
    Tell(Outcome),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The volume may be written by this boot.
    Held {
        /// The turn, which rises with every owner.
        turn: u64,
    },
    /// It is another's.
    HeldBy(Owner),
    /// It is given back.
    Released,
    /// The storage has seen a newer lineage of the pool: nothing of this one may write.
    StaleEpoch {
        /// The newer one.
        seen: u64,
    },
    /// Others try too. Wait a random moment.
    Contended,
    /// The storage failed: nothing is known, and nothing is held unless it was before.
    StorageFailed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    /// Reading all slots to find the present turn.
    Look(Slot),
    /// Writing the ballot.
    Begin,
    /// Reading all slots after it.
    Promise(Slot),
    /// Writing the value.
    Propose,
    /// Reading all slots after it.
    Check(Slot),
    Held,
    Releasing,
}

/// One host's part in one volume's lease; see the module header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DiskLease {
    me: Owner,
    slots: Slot,
    pool_epoch: u64,
    term: u64,
    step: Step,
    /// The own sector as it is or may be.
    own: Block,
    turn: u64,
    /// Turn to begin when the present one's owner has ended.
    highest: u64,
    /// Highest ballot that anybody has begun in that turn.
    bid: u64,
    /// Value of the highest ballot accepted by anybody in this turn.
    best: Option<(u64, Owner)>,
    /// Highest turn that the slot of the decided owner has released.
    released: u64,
    rounds: u8,
    most_rounds: u8,
}

impl DiskLease {
    /// A machine that holds nothing. `slots` is how many the lease has, at most [`MAX_SLOTS`]; `me.slot` is below it.
    pub fn new(me: Owner, slots: Slot, pool_epoch: u64, term: u64) -> Self {
        assert!(usize::from(slots) <= MAX_SLOTS && me.slot < slots, "a slot of the lease");
        Self {
            me,
            slots,
            pool_epoch,
            term,
            step: Step::Idle,
            own: Block::default(),
            turn: 0,
            highest: 0,
            bid: 0,
            best: None,
            released: 0,
            rounds: 0,
            most_rounds: ROUNDS,
        }
    }

    /// Gives up as contended after so many rounds, instead of [`ROUNDS`].
    #[must_use]
    pub fn with_rounds(self, most_rounds: u8) -> Self {
        Self { most_rounds, ..self }
    }

    /// Whether the volume may be written by this boot, as far as the lease goes.
    pub fn is_held(&self) -> bool {
        self.step == Step::Held
    }

    /// Takes in what happened. `ended` says whether a boot is *proved* to have ended.
    pub fn step(&mut self, event: Event, ended: impl Fn(Owner) -> bool) -> Option<Command> {
        match (self.step, event) {
            (Step::Idle, Event::Acquire) => {
                self.rounds = 0;
                Some(self.look())
            }
            (Step::Held, Event::Release) => {
                self.step = Step::Releasing;
                self.own.released = self.turn;
                Some(self.write())
            }
            (Step::Releasing, Event::Written) => self.tell(Outcome::Released),
            // Still held as far as others can know; the caller tries again.
            (Step::Releasing, Event::Failed) => {
                self.step = Step::Held;
                Some(Command::Tell(Outcome::StorageFailed))
            }
            (Step::Idle | Step::Held, _) => None,
            (_, Event::Failed) => self.tell(Outcome::StorageFailed),
            (Step::Look(slot), Event::Read(read, block)) if read == slot => {
                self.looked(slot, block)
            }
            (Step::Begin, Event::Written) => Some(self.read_all(Step::Promise)),
            (Step::Promise(slot), Event::Read(read, block)) if read == slot => {
                self.promised(slot, block)
            }
            (Step::Propose, Event::Written) => Some(self.read_all(Step::Check)),
            (Step::Check(slot), Event::Read(read, block)) if read == slot => {
                self.checked(slot, block, ended)
            }
            _ => None,
        }
    }

    fn tell(&mut self, outcome: Outcome) -> Option<Command> {
        self.step = match outcome {
            Outcome::Held { .. } => Step::Held,
            _ => Step::Idle,
        };
        Some(Command::Tell(outcome))
    }

    fn look(&mut self) -> Command {
        self.highest = 1;
        self.bid = 0;
        self.step = Step::Look(0);
        Command::Read(0)
    }

    fn write(&mut self) -> Command {
        self.own.pool_epoch = self.pool_epoch;
        self.own.term = self.term;
        Command::Write(self.own)
    }

    fn read_all(&mut self, step: fn(Slot) -> Step) -> Command {
        self.best = None;
        self.released = 0;
        self.step = step(0);
        Command::Read(0)
    }

    /// What every read teaches. `Some`: the attempt ends here.
    fn learn(&mut self, block: &Block) -> Option<Command> {
        if block.pool_epoch > self.pool_epoch {
            return self.tell(Outcome::StaleEpoch { seen: block.pool_epoch });
        }
        if block.turn > self.highest {
            (self.highest, self.bid) = (block.turn, block.ballot);
        } else if block.turn == self.highest {
            self.bid = self.bid.max(block.ballot);
        }
        None
    }

    fn next(&mut self, slot: Slot, step: fn(Slot) -> Step) -> Option<Command> {
        if slot + 1 < self.slots {
            self.step = step(slot + 1);
            return Some(Command::Read(slot + 1));
        }
        None
    }

    fn looked(&mut self, slot: Slot, block: Block) -> Option<Command> {
        if let Some(end) = self.learn(&block) {
            return Some(end);
        }
        if slot == self.me.slot {
            // What a former run or boot promised still binds.
            self.own = block;
        }
        if let Some(command) = self.next(slot, Step::Look) {
            return Some(command);
        }
        let turn = self.highest;
        Some(self.begin(turn))
    }

    /// Begins a ballot of `turn`, higher than every one that was seen in it.
    fn begin(&mut self, turn: u64) -> Command {
        if self.own.turn != turn {
            self.own = Block { turn, ballot: 0, accepted: 0, value: None, ..self.own };
        }
        self.turn = turn;
        let bid = if turn == self.highest { self.bid } else { 0 };
        // Ballots of two slots are never equal.
        let (slots, slot) = (u64::from(self.slots), u64::from(self.me.slot));
        self.own.ballot = (self.own.ballot.max(bid) / slots + 1) * slots + slot;
        self.step = Step::Begin;
        self.write()
    }

    fn again(&mut self) -> Option<Command> {
        self.rounds += 1;
        if self.rounds >= self.most_rounds {
            return self.tell(Outcome::Contended);
        }
        Some(self.look())
    }

    /// Notes another slot's block of this turn. `true`: this ballot has lost.
    fn note(&mut self, slot: Slot, block: &Block) -> bool {
        if block.turn != self.turn {
            return block.turn > self.turn;
        }
        if block.accepted > 0
            && let Some(value) = block.value
            && self.best.is_none_or(|(ballot, _)| ballot < block.accepted)
        {
            self.best = Some((block.accepted, value));
        }
        slot != self.me.slot && block.ballot > self.own.ballot
    }

    fn promised(&mut self, slot: Slot, block: Block) -> Option<Command> {
        if let Some(end) = self.learn(&block) {
            return Some(end);
        }
        if self.note(slot, &block) {
            return self.again();
        }
        if let Some(command) = self.next(slot, Step::Promise) {
            return Some(command);
        }
        self.own.accepted = self.own.ballot;
        self.own.value = Some(self.best.map_or(self.me, |(_, value)| value));
        self.step = Step::Propose;
        Some(self.write())
    }

    fn checked(
        &mut self,
        slot: Slot,
        block: Block,
        ended: impl Fn(Owner) -> bool,
    ) -> Option<Command> {
        if let Some(end) = self.learn(&block) {
            return Some(end);
        }
        if self.note(slot, &block) {
            return self.again();
        }
        let owner = self.own.value.unwrap_or(self.me);
        if slot == owner.slot {
            self.released = block.released;
        }
        if let Some(command) = self.next(slot, Step::Check) {
            return Some(command);
        }
        let is_released = self.released >= self.turn;
        if owner == self.me && !is_released {
            return self.tell(Outcome::Held { turn: self.turn });
        }
        // An older boot of this very host has ended: this one runs.
        if is_released || owner.slot == self.me.slot || ended(owner) {
            let turn = self.turn + 1;
            return Some(self.begin(turn));
        }
        self.tell(Outcome::HeldBy(owner))
    }
}
