//! Which lineage of a pool is the newest that this user has met (S2-25): `~/.xe.d/POOL.epoch`, one line `EPOCH SERVER`.
//!
//! Two hosts may both claim to be the pool after a forced recovery. The servers refuse what a stale one must not do; here
//! the person is told who is stale. What is remembered is no permission: without it everything is refused just the same.

use std::fs;
use std::path::Path;

use crate::trust;

/// Compares the lineage that a server answered from (`UUID EPOCH`) with the newest met; what to say if it is older.
pub(crate) fn meet(lineage: &str, server: &str) -> Option<String> {
    meet_in(&trust::directory()?, lineage, server)
}

fn meet_in(directory: &Path, lineage: &str, server: &str) -> Option<String> {
    let (pool, epoch) = lineage.split_once(' ')?;
    let is_uuid = pool.len() == 36 && pool.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let epoch: u64 = epoch.parse().ok().filter(|_| is_uuid)?;
    let path = directory.join(format!("{pool}.epoch"));
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let (newest, holder) = kept.trim_end().split_once(' ').unwrap_or(("0", ""));
    let newest: u64 = newest.parse().unwrap_or(0);
    if epoch < newest {
        return Some(format!(
            "WARNING: {server} is stale: it holds pool epoch {epoch} of pool {pool}, and {holder} answered with epoch \
             {newest}, which is newer. Nothing that is changed at {server} counts; it refuses changes. Ask {holder}.\n"
        ));
    }
    if epoch > newest {
        // What cannot be remembered is learned anew next time.
        let _ = fs::create_dir_all(directory);
        let _ = fs::write(&path, format!("{epoch} {server}\n"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn the_stale_one_of_two_claimants_is_named_whichever_is_met_first() {
        let place = std::env::temp_dir().join(format!("xe-lineages-{}", std::process::id()));
        let _ = fs::remove_dir_all(&place);
        let meet = |epoch: &str, server: &str| meet_in(&place, &format!("{POOL} {epoch}"), server);
        assert_eq!(meet("1", "old:443"), None, "nobody else is known yet");
        assert_eq!(meet("2", "new:443"), None);
        let said = meet("1", "old:443").expect("it is stale");
        for part in ["old:443 is stale", "epoch 1", "new:443 answered with epoch 2", POOL] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(meet("2", "third:443"), None);
        assert_eq!(meet("10", "new:443"), None, "epochs are numbers");
        assert!(meet("2", "third:443").is_some());
        for strange in ["", "x", "../../x 3", "00000000-0000-4000-8000-000000000001 x"] {
            assert_eq!(meet_in(&place, strange, "s"), None);
        }
        let _ = fs::remove_dir_all(&place);
    }
}
