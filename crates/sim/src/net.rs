//! The network between hosts: each direction of each pair on its own, so that a cable may fail one way only.

use crate::kernel::{At, Chance, MS};

/// One direction between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Nothing passes.
    pub cut: bool,
    /// So many messages in a thousand are lost.
    pub loss: u32,
    /// Shortest delay.
    pub delay: At,
    /// Most that chance adds to it.
    pub spread: At,
}

const SWITCHED: Link = Link { cut: false, loss: 0, delay: MS / 10, spread: MS };

/// All of them.
#[derive(Debug)]
pub struct Net {
    links: Vec<Vec<Link>>,
}

impl Net {
    /// Between that many hosts.
    pub fn new(hosts: usize) -> Self {
        Self { links: vec![vec![SWITCHED; hosts]; hosts] }
    }

    /// When a message that is sent now arrives; `None`: never. A host reaches itself always.
    pub fn arrives(&self, now: At, from: usize, to: usize, chance: &mut Chance) -> Option<At> {
        if from == to {
            return Some(now + 50);
        }
        let link = self.links[from][to];
        if link.cut || chance.permille(link.loss) {
            return None;
        }
        Some(now + link.delay + chance.between(0, link.spread))
    }

    /// The same on a connection: what is lost is sent again, and without a way back nothing goes on.
    pub fn streams(&self, now: At, from: usize, to: usize, chance: &mut Chance) -> Option<At> {
        if from != to && self.links[to][from].cut {
            return None;
        }
        let mut sent = now;
        for again in [200 * MS, 400 * MS, 800 * MS] {
            if from != to && self.links[from][to].cut {
                return None;
            }
            if let Some(at) = self.arrives(sent, from, to, chance) {
                return Some(at);
            }
            sent += again;
        }
        None
    }

    /// Changes one direction.
    pub fn change(&mut self, from: usize, to: usize, how: impl FnOnce(&mut Link)) {
        if from != to {
            how(&mut self.links[from][to]);
        }
    }

    /// Mends everything.
    pub fn heal(&mut self) {
        for link in self.links.iter_mut().flatten() {
            *link = SWITCHED;
        }
    }

    /// Mends every link of one host.
    pub fn heal_host(&mut self, host: usize) {
        for other in 0..self.links.len() {
            self.links[host][other] = SWITCHED;
            self.links[other][host] = SWITCHED;
        }
    }
}
