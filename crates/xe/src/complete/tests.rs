//! What is offered at which place of the line.

use crate::command_line::Surroundings;
use crate::commands_pool as pool;
use crate::testing::uuid;

fn offered(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let current = words.pop().expect("split gives one word at least");
    let mut connect = |_: &crate::Globals| -> Box<dyn crate::Api> { Box::new(pool()) };
    super::candidates(&words, &current, &Surroundings::default(), &mut connect)
        .into_iter()
        .map(|c| if c.about.is_empty() { c.text } else { format!("{} # {}", c.text, c.about) })
        .collect()
}

/// proves: S2-50 (table)
#[test]
fn commands_are_completed() {
    assert_eq!(offered("vm-sta"), ["vm-start", "vm-start-in-order"]);
    assert!(offered("help vm-st").contains(&"vm-start".to_owned()));
}

/// proves: S2-50 (table)
#[test]
fn parameters_are_completed_and_given_ones_left_out() {
    let all = offered("vm-start ");
    assert!(all.contains(&"vm=".to_owned()) && all.contains(&"on=".to_owned()));
    assert!(all.contains(&"--force".to_owned()));
    assert_eq!(
        offered("pbd-create sr-uuid=x "),
        ["host-uuid=", "device-config:", "--minimal", "--output"]
    );
}

/// proves: S2-50 (table)
#[test]
fn uuids_are_offered_with_the_names_of_the_objects() {
    let want = [
        format!("uuid={} # db1", uuid(13)),
        format!("uuid={} # web 2, \"quoted\" 💾", uuid(12)),
        format!("uuid={} # web1", uuid(11)),
    ];
    assert_eq!(offered("vm-param-list uuid="), want);
    assert_eq!(
        offered("patch-apply host-uuid="),
        [
            format!("host-uuid={} # h2", uuid(2)),
            format!("host-uuid={} # xenserver-piqyctev", uuid(1)),
        ]
    );
    assert_eq!(offered("vm-start vm=d"), [format!("vm=db1 # {}", uuid(13))]);
}

/// proves: S2-50 (table)
#[test]
fn fields_and_their_values_are_completed() {
    assert!(
        offered("vm-list params=name-label,pow")
            .contains(&"params=name-label,power-state".to_owned())
    );
    assert_eq!(offered("vm-list power-state="), ["power-state=halted", "power-state=running"]);
    assert!(offered("vm-param-clear param-name=ta").contains(&"param-name=tags".to_owned()));
}
