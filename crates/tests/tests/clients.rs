//! Other people's clients, unmodified, against a pool of real hosts with real guests.
//!
//! The stories are in `clients/`, in the clients' own languages; what they prove is said there.

use tests::{PoolLab, node, python, test_guest_image};

/// Python's XenAPI from PyPI: every step by call and by event, then the coordinator's power cut.
#[test]
fn python_lives_a_pools_day_and_goes_on_after_the_coordinators_power_cut() {
    let lab = PoolLab::up(3);
    python("pool_story.py", &lab.facts_for_clients(&test_guest_image()));
}

/// npm's xen-api, the library under Xen Orchestra: its own event loop and cache, then the power cut.
#[test]
fn node_lives_a_pools_day_and_goes_on_after_the_coordinators_power_cut() {
    let lab = PoolLab::up(3);
    node("pool_story.mjs", &lab.facts_for_clients(&test_guest_image()));
}

/// Both, at a pool of one host on the embedded database.
#[test]
fn a_pool_of_one_host_is_a_pool_to_both_clients() {
    let lab = PoolLab::up(1);
    let facts = lab.facts_for_clients(&test_guest_image());
    python("pool_story.py", &facts);
    node("pool_story.mjs", &facts);
}
