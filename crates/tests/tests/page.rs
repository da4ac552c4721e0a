//! The page, as people read it: on every host, before and after the coordinator's power cut.

use tests::{PoolLab, guests, page};

/// The story itself is `clients/page_story.mjs`.
///
/// proves: S2-9 (lab), S2-18 (lab)
#[test]
fn the_page_tells_the_truth_on_every_host_and_outlives_the_one_it_was_opened_on() {
    let lab = PoolLab::up(3);
    let vm = guests::vm_make(&lab, "h1", "seen-on-the-page");
    lab.said("h1", &["vm-start", &format!("uuid={vm}"), "on=h1"]);
    page(&lab, "h1");
}
