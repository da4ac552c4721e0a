//! Memory and processors of a VM: the order of its limits, and the messages that change them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xenapi::{Error, Record, Value};

use super::super::{
    bool_param, find, int_param, map_text, number, object, ref_param, target, text,
};
use super::launch::{QUICK, hypervisor_failed};
use super::spec;
use crate::Daemon;
use crate::api::{Authorized, errors};
use crate::edits::{self, Change, Object};
use crate::projection::vm_state;
use crate::sagas::{self, Def, Flow, Plan, State, StepResult, action};

/// The limits, bytes, as `static_min <= dynamic_min <= dynamic_max <= static_max` (XenAPI's order).
#[derive(Debug, Clone, Copy)]
struct Limits {
    static_min: i64,
    dynamic_min: i64,
    dynamic_max: i64,
    static_max: i64,
}

impl Limits {
    fn of(vm: &Record) -> Self {
        Self {
            static_min: number(vm, "memory_static_min"),
            dynamic_min: number(vm, "memory_dynamic_min"),
            dynamic_max: number(vm, "memory_dynamic_max"),
            static_max: number(vm, "memory_static_max"),
        }
    }

    fn check(self) -> Result<Self, Error> {
        let ordered = 0 <= self.static_min
            && self.static_min <= self.dynamic_min
            && self.dynamic_min <= self.dynamic_max
            && self.dynamic_max <= self.static_max
            && self.static_max > 0;
        if ordered {
            Ok(self)
        } else {
            Err(Error::new("MEMORY_CONSTRAINT_VIOLATION_ORDER", Vec::<String>::new()))
        }
    }

    fn put(self, change: &mut Change, vm: &Record) {
        for (field, value) in [
            ("memory_static_min", self.static_min),
            ("memory_dynamic_min", self.dynamic_min),
            ("memory_dynamic_max", self.dynamic_max),
            ("memory_static_max", self.static_max),
            ("memory_target", self.dynamic_max),
        ] {
            change.set(object(vm), field, value);
        }
    }
}

/// Refuses limits and processors that contradict each other.
///
/// # Errors
/// XenAPI's.
pub(crate) fn check(vm: &Record) -> Result<(), Error> {
    Limits::of(vm).check()?;
    check_processors(vm, number(vm, "VCPUs_max"), number(vm, "VCPUs_at_startup"))
}

fn check_processors(vm: &Record, max: i64, at_startup: i64) -> Result<(), Error> {
    let invalid = |field: &str, value: i64| Error::invalid_value(field, &value.to_string());
    if max < 1 {
        return Err(invalid("VCPUs_max", max));
    }
    if at_startup < 1 || at_startup > max {
        return Err(invalid("VCPUs_at_startup", at_startup));
    }
    let cores = map_text(vm, "platform", "cores-per-socket").and_then(|c| c.parse::<i64>().ok());
    match cores {
        Some(cores) if cores > 0 && max % cores != 0 => Err(Error::new(
            "VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE",
            [max.to_string(), cores.to_string()],
        )),
        _ => Ok(()),
    }
}

/// Answers the messages about memory and processors; `None` if the message is none of them.
pub(super) async fn call(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Option<Result<Value, Error>> {
    let answer = match message {
        "set_memory"
        | "set_memory_limits"
        | "set_memory_static_range"
        | "set_memory_dynamic_range"
        | "set_memory_static_max"
        | "set_memory_static_min"
        | "set_memory_dynamic_max"
        | "set_memory_dynamic_min"
        | "set_memory_target_live" => set_memory(daemon, message, call).await,
        "set_VCPUs_max" | "set_VCPUs_at_startup" => set_processors(daemon, message, call).await,
        // The balloon is set before the message that asks for it returns.
        "wait_memory_target_live" => {
            let view = daemon.view().await;
            find(&view, "VM", ref_param(call, 0)).map(|_| Value::Void)
        }
        "maximise_memory" => maximise(daemon, call).await,
        "compute_memory_overhead" => {
            let view = daemon.view().await;
            find(&view, "VM", ref_param(call, 0))
                .map(|vm| spec::overhead(spec::start_memory(vm)).into())
        }
        _ => return None,
    };
    Some(answer)
}

async fn set_memory(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    let value = int_param(call, 1);
    let mut limits = Limits::of(vm);
    let operation = match message {
        "set_memory" => {
            limits.dynamic_min = value;
            limits.dynamic_max = value;
            limits.static_max = value;
            "changing_memory_limits"
        }
        "set_memory_limits" => {
            limits = Limits {
                static_min: value,
                static_max: int_param(call, 2),
                dynamic_min: int_param(call, 3),
                dynamic_max: int_param(call, 4),
            };
            "changing_memory_limits"
        }
        "set_memory_static_range" => {
            limits.static_min = value;
            limits.static_max = int_param(call, 2);
            "changing_static_range"
        }
        "set_memory_static_max" => {
            limits.static_max = value;
            "changing_static_range"
        }
        "set_memory_static_min" => {
            limits.static_min = value;
            "changing_static_range"
        }
        "set_memory_dynamic_range" => {
            limits.dynamic_min = value;
            limits.dynamic_max = int_param(call, 2);
            "changing_dynamic_range"
        }
        "set_memory_dynamic_max" => {
            limits.dynamic_max = value;
            "changing_dynamic_range"
        }
        "set_memory_dynamic_min" => {
            limits.dynamic_min = value;
            "changing_dynamic_range"
        }
        _ => {
            limits.dynamic_min = value;
            limits.dynamic_max = value;
            "changing_memory_live"
        }
    };
    planner::vm_ops::check(&vm_state(vm), operation).map_err(errors::from_refusal)?;
    let limits = limits.check()?;
    let mut change = Change::new();
    limits.put(&mut change, vm);
    let resident = target(vm, "resident_on").filter(|_| text(vm, "power_state") == "Running");
    match resident {
        None => {
            edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
            Ok(Value::Void)
        }
        Some(host) => {
            let memory = u64::try_from(limits.dynamic_max).unwrap_or_default();
            let plan = Plan {
                kind: "vm_balloon",
                owner: host,
                label: "VM.set_memory_dynamic_range",
                busy: vec![(object(vm), operation)],
                args: serde_json::json!(Args { vm: vm.uuid(), memory }),
                change,
            };
            sagas::perform(daemon, call.caller(), call.task(), plan).await
        }
    }
}

async fn set_processors(
    daemon: &Arc<Daemon>,
    message: &str,
    call: &Authorized,
) -> Result<Value, Error> {
    let view = daemon.view().await;
    let vm = find(&view, "VM", ref_param(call, 0))?;
    planner::vm_ops::check(&vm_state(vm), "changing_VCPUs").map_err(errors::from_refusal)?;
    let value = int_param(call, 1);
    let mut change = Change::new();
    if message == "set_VCPUs_max" {
        check_processors(vm, value, number(vm, "VCPUs_at_startup"))?;
        change.set(object(vm), "VCPUs_max", value);
    } else {
        check_processors(vm, number(vm, "VCPUs_max"), value)?;
        change.set(object(vm), "VCPUs_at_startup", value);
    }
    edits::commit(daemon, &change).await.map_err(errors::from_commit)?;
    Ok(Value::Void)
}

/// The most memory that a VM of this shape could have if a host gave it `total` bytes.
async fn maximise(daemon: &Arc<Daemon>, call: &Authorized) -> Result<Value, Error> {
    let view = daemon.view().await;
    find(&view, "VM", ref_param(call, 0))?;
    let total = int_param(call, 1);
    let _approximate = bool_param(call, 2);
    // overhead(m) = 32 MiB + m/100, so m = (total - 32 MiB) * 100/101, to a whole MiB.
    let most = (total - spec::overhead(0)).max(0) / 101 * 100;
    Ok((most >> 20 << 20).into())
}

#[derive(Debug, Serialize, Deserialize)]
struct Args {
    vm: Uuid,
    memory: u64,
}

pub(super) fn saga() -> Def {
    Def::new("vm_balloon").check("set_memory", action!(balloon)).last("publish", action!(publish))
}

async fn balloon(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    daemon
        .hypervisor()
        .set_memory(args.vm, args.memory, QUICK)
        .await
        .map_err(|e| hypervisor_failed(&e))?;
    Ok(Flow::Next)
}

async fn publish(daemon: &Arc<Daemon>, state: &mut State) -> StepResult {
    let args: Args = sagas::args(state)?;
    let view = daemon.view().await;
    let mut change = Change::new();
    if let Some(metrics) = view.record("VM", args.vm).and_then(|r| target(r, "metrics")) {
        let memory = i64::try_from(args.memory).unwrap_or(i64::MAX);
        change.set(Object::new("VM_metrics", metrics), "memory_actual", memory);
    }
    state.stage(change);
    Ok(Flow::Next)
}
