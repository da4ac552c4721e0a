//! Fencing tokens against the obvious model: pairs in lexical order, and the highest one seen only rises.

use liveness::epoch::FencingToken;
use proptest::prelude::*;

#[test]
fn an_old_lineage_is_refused_whatever_its_term() {
    let seen = FencingToken::new(2, 1);
    let stale = seen.admit(FencingToken::new(1, 99)).expect_err("older lineage");
    assert!(stale.to_string().contains("recovered"), "{stale}");
    let stale = FencingToken::new(2, 5).admit(FencingToken::new(2, 4)).expect_err("older term");
    assert!(stale.to_string().contains("another coordinator"), "{stale}");
    assert_eq!(seen.admit(seen), Ok(seen), "the same coordinator goes on");
}

proptest! {
    #[test]
    fn the_highest_token_seen_never_falls(orders in prop::collection::vec((0_u64..4, 0_u64..4), 1..40)) {
        let mut seen = FencingToken::new(0, 0);
        let mut model = (0, 0);
        for (pool_epoch, term) in orders {
            let admitted = seen.admit(FencingToken::new(pool_epoch, term));
            prop_assert_eq!(admitted.is_ok(), (pool_epoch, term) >= model);
            if let Ok(highest) = admitted {
                seen = highest;
                model = (pool_epoch, term);
            }
            prop_assert_eq!((seen.pool_epoch, seen.term), model);
        }
    }
}
