//! Which image is whose parent: by the VHD's id first, by name second, and not at all if the two disagree.
//!
//! Pure: nodes in, an order or a reason out. A wrong parent gives a disk that looks right and is not, so anything that can be read in two
//! ways is refused with both. A parent that is not there is another matter: what the child has is still good.

use std::fmt;

use crate::vhd::{Id, ParentLink};

/// Longest chain that XenServer makes, the leaf counted.
pub const MAX_DEPTH: usize = 30;

/// An image or raw volume that may be in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The volume's or file's name: `VHD-<uuid>`, `LV-<uuid>`, `<uuid>.vhd`.
    pub name: String,
    /// The id in its footer; `None` if it is raw.
    pub id: Option<Id>,
    /// The parent it asks for.
    pub parent: Option<ParentLink>,
}

/// Why a chain is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nothing has the parent's id or name.
    Missing {
        /// Who asks.
        child: String,
        /// What for.
        wanted: String,
    },
    /// One image has the parent's id, another its name.
    Disagree {
        /// Who asks.
        child: String,
        /// What by id and what by name.
        what: String,
    },
    /// Several could be it.
    Ambiguous {
        /// Who asks.
        child: String,
        /// Which.
        candidates: Vec<String>,
    },
    /// An image is its own ancestor.
    Cycle {
        /// The one that came twice.
        name: String,
    },
    /// More than [`MAX_DEPTH`].
    TooDeep,
}

impl Broken {
    /// Whether a part can be had without danger of taking wrong bytes for right ones.
    #[must_use]
    pub fn leaves_a_part(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { child, wanted } => {
                write!(f, "the parent of {child} is not here: {wanted}")
            }
            Self::Disagree { child, what } => {
                write!(f, "the parent of {child} is not certain: {what}")
            }
            Self::Ambiguous { child, candidates } => {
                write!(f, "several could be the parent of {child}: {}", candidates.join(", "))
            }
            Self::Cycle { name } => write!(f, "{name} is its own ancestor"),
            Self::TooDeep => write!(f, "the chain has more than {MAX_DEPTH} images"),
        }
    }
}

/// The chain of `leaf` (an index), leaf first, as far as it can be followed, and why not further.
#[must_use]
pub fn resolve(nodes: &[Node], leaf: usize) -> (Vec<usize>, Option<Broken>) {
    let mut chain = vec![leaf];
    let mut at = leaf;
    while let Some(link) = nodes.get(at).and_then(|node| node.parent.as_ref()) {
        match parent(nodes, &nodes[at].name, link) {
            Ok(next) if chain.contains(&next) => {
                return (chain, Some(Broken::Cycle { name: nodes[next].name.clone() }));
            }
            Ok(_) if chain.len() == MAX_DEPTH => return (chain, Some(Broken::TooDeep)),
            Ok(next) => {
                chain.push(next);
                at = next;
            }
            Err(broken) => return (chain, Some(broken)),
        }
    }
    (chain, None)
}

fn parent(nodes: &[Node], child: &str, link: &ParentLink) -> Result<usize, Broken> {
    let names: Vec<String> = link.names.iter().map(|name| volume_name(name)).collect();
    let among = |test: &dyn Fn(&Node) -> bool| -> Vec<usize> {
        (0..nodes.len()).filter(|n| test(&nodes[*n])).collect()
    };
    let by_id = among(&|node| !link.id.is_zero() && node.id == Some(link.id));
    let by_name = among(&|node| names.iter().any(|name| same_name(name, &node.name)));
    let child = child.to_owned();
    let ambiguous = |which: &[usize]| Broken::Ambiguous {
        child: child.clone(),
        candidates: which.iter().map(|n| nodes[*n].name.clone()).collect(),
    };
    match (&by_id[..], &by_name[..]) {
        ([], []) => {
            let mut wanted = names.join(" or ");
            if !link.id.is_zero() {
                let id = format!("id {}", link.id);
                wanted = if wanted.is_empty() { id } else { format!("{id}, named {wanted}") };
            }
            Err(Broken::Missing { child, wanted })
        }
        ([], [one]) if link.id.is_zero() => Ok(*one),
        ([], several) if link.id.is_zero() => Err(ambiguous(several)),
        ([], [one, ..]) => {
            let named = &nodes[*one];
            let has = named.id.map_or("no id".into(), |id| format!("id {id}"));
            let what = format!("{} has {has}, not {}", named.name, link.id);
            Err(Broken::Disagree { child, what })
        }
        ([one], []) => Ok(*one),
        ([one], named) if named.contains(one) => Ok(*one),
        ([one], [other, ..]) => {
            let (one, other) = (&nodes[*one].name, &nodes[*other].name);
            let what = format!("{one} has its id {}, {other} has its name", link.id);
            Err(Broken::Disagree { child, what })
        }
        (several, named) => {
            let both: Vec<usize> = several.iter().filter(|n| named.contains(n)).copied().collect();
            match &both[..] {
                [one] => Ok(*one),
                _ => Err(ambiguous(several)),
            }
        }
    }
}

fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// The volume or file that a parent's name means: the last part of the path, and of a device-mapper name
/// (`VG_XenStorage--..-VHD--..`, where dashes inside names are doubled) the volume.
#[must_use]
pub fn volume_name(path: &str) -> String {
    let last = path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path);
    if !last.contains("--") {
        return last.to_owned();
    }
    let mut parts = vec![String::new()];
    let mut rest = last.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '-' && rest.peek() != Some(&'-') {
            parts.push(String::new());
        } else {
            if c == '-' {
                rest.next();
            }
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
    }
    parts.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, id: u8, parent: Option<(u8, &[&str])>) -> Node {
        Node {
            name: name.into(),
            id: (id != 0).then_some(Id([id; 16])),
            parent: parent.map(|(id, names)| ParentLink {
                id: Id([id; 16]),
                names: names.iter().map(|name| (*name).to_owned()).collect(),
                timestamp: 0,
            }),
        }
    }

    #[test]
    fn a_device_mapper_name_means_its_volume() {
        for (name, volume) in [
            (
                "VG_XenStorage--b2cd45a4--2b27--4043-VHD--1cf84316--789e--4585",
                "VHD-1cf84316-789e-4585",
            ),
            ("./VG_XenStorage--1-LV--2--3", "LV-2-3"),
            ("C:\\disks\\base.vhd", "base.vhd"),
            ("/a/b-c.vhd", "b-c.vhd"),
            ("VHD-1-2", "VHD-1-2"),
            ("", ""),
        ] {
            assert_eq!(volume_name(name), volume, "{name}");
        }
    }

    #[test]
    fn the_id_decides_and_the_name_may_be_old() {
        let nodes = [
            node("VHD-a", 1, Some((2, &["VHD-gone"]))),
            node("VHD-b", 2, Some((0, &["VG--x-LV--c"]))),
            node("LV-c", 0, None),
        ];
        assert_eq!(resolve(&nodes, 0), (vec![0, 1, 2], None));
        assert_eq!(resolve(&nodes, 2), (vec![2], None));
    }

    #[test]
    fn what_disagrees_is_refused_with_both() {
        let nodes = [
            node("VHD-a", 1, Some((2, &["VHD-c"]))),
            node("VHD-b", 2, None),
            node("VHD-c", 3, None),
        ];
        let (chain, broken) = resolve(&nodes, 0);
        assert_eq!(chain, [0]);
        let text = broken.expect("refused").to_string();
        assert!(text.contains("VHD-b") && text.contains("VHD-c"), "{text}");
        // The name is there, with another id.
        let nodes = [node("VHD-a", 1, Some((2, &["VHD-c"]))), node("VHD-c", 3, None)];
        assert!(matches!(resolve(&nodes, 0).1, Some(Broken::Disagree { .. })));
    }

    #[test]
    fn of_two_copies_with_one_id_the_name_decides() {
        let nodes = [
            node("VHD-a", 1, Some((2, &["VHD-c"]))),
            node("VHD-b", 2, None),
            node("VHD-c", 2, None),
        ];
        assert_eq!(resolve(&nodes, 0), (vec![0, 2], None));
        let nodes = [node("a", 1, Some((2, &[]))), node("VHD-b", 2, None), node("VHD-c", 2, None)];
        assert!(matches!(resolve(&nodes, 0).1, Some(Broken::Ambiguous { .. })));
    }

    #[test]
    fn cycles_missing_parents_and_long_chains_are_told() {
        let nodes = [node("VHD-a", 1, Some((2, &[]))), node("VHD-b", 2, Some((1, &[])))];
        assert!(matches!(resolve(&nodes, 0).1, Some(Broken::Cycle { .. })));
        let own = [node("VHD-a", 1, Some((1, &["VHD-a"])))];
        assert!(matches!(resolve(&own, 0).1, Some(Broken::Cycle { .. })));
        let missing = [node("VHD-a", 1, Some((9, &["x"])))];
        let (chain, broken) = resolve(&missing, 0);
        assert_eq!(chain, [0]);
        assert!(broken.expect("missing").leaves_a_part());
        let long = |count: u8| -> Vec<Node> {
            (1..=count)
                .map(|n| node(&format!("v{n}"), n, (n < count).then_some((n + 1, &[][..]))))
                .collect()
        };
        assert_eq!(resolve(&long(30), 0).0.len(), 30);
        assert_eq!(resolve(&long(30), 0).1, None);
        assert_eq!(resolve(&long(31), 0).1, Some(Broken::TooDeep));
    }
}
