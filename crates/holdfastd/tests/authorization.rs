//! Every message of the datamodel, called by every role: refused exactly where the datamodel says so.
//!
//! Each call has one parameter too many, so an authorized one ends at `MESSAGE_PARAMETER_COUNT_MISMATCH` and does nothing.

mod pool;

use std::net::SocketAddr;

use datamodel::{Implicit, Method, Role};
use holdfastd::api::{self, auth};
use holdfastd::http::Peer;
use pool::Pool;
use uuid::Uuid;
use xenapi::{Error, OpaqueRef, Text, Value};

/// Roles that an account may have, least first.
const ROLES: [Role; 6] = [
    Role::ReadOnly,
    Role::VmOperator,
    Role::VmAdmin,
    Role::VmPowerAdmin,
    Role::PoolOperator,
    Role::PoolAdmin,
];

fn stranger() -> Peer {
    Peer::Stranger(SocketAddr::from(([192, 0, 2, 7], 40000)))
}

async fn session(pool: &Pool, role: Role) -> Value {
    let user = role.name().expect("accounts have named roles");
    let token =
        auth::login(&pool.h1().daemon, user, role, "192.0.2.7", "test").await.expect("logs in");
    Value::Ref(OpaqueRef::new(token))
}

/// The code of the refusal; a success has none.
async fn refusal(pool: &Pool, peer: &Peer, method: &str, params: Vec<Value>) -> Option<Error> {
    api::call(&pool.h1().daemon, peer, &Text::from(method), params).await.err()
}

/// Parameters of the right number and one more, none of them of use.
fn too_many(session: &Value, method: &Method) -> Vec<Value> {
    let mut params = vec![session.clone()];
    params.resize(method.params().len() + 2, Value::from(""));
    params
}

fn names(method: &Method) -> Vec<String> {
    let name = method.full_name();
    if method.is_async() { vec![format!("Async.{name}"), name] } else { vec![name] }
}

/// What an authorized call with too many parameters ends with, of messages that are refused by design too.
const TOO_MANY: &str = "MESSAGE_PARAMETER_COUNT_MISMATCH";

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_refused_to_exactly_the_lower_roles() {
    let pool = Pool::idle(1).await;
    let mut calls = 0;
    let mut refused = 0;
    for role in ROLES {
        let session = session(&pool, role).await;
        for method in datamodel::all_methods().filter(Method::session) {
            for name in names(&method) {
                let error = refusal(&pool, &stranger(), &name, too_many(&session, &method)).await;
                let error = error.unwrap_or_else(|| panic!("{name} as {role:?} was carried out"));
                calls += 1;
                if role < method.role() {
                    refused += 1;
                    assert_eq!(&*error.code, "RBAC_PERMISSION_DENIED", "{name} as {role:?}");
                    assert_eq!(error.params[0], method.full_name().to_lowercase());
                } else {
                    assert_eq!(&*error.code, TOO_MANY, "{name} as {role:?}: {error}");
                }
            }
        }
    }
    assert!(calls > 9_000 && refused > 2_000, "{calls} calls, {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_a_role_of_their_own_are_open_to_exactly_that_role() {
    let pool = Pool::idle(1).await;
    let mut keys = 0;
    for role in ROLES {
        let session = session(&pool, role).await;
        for method in datamodel::all_methods() {
            let Method::Implicit(_, Implicit::AddTo(_) | Implicit::RemoveFrom(_)) = method else {
                continue;
            };
            let (_, field) = method.field().expect("it is about a field");
            for (pattern, needed) in field.key_roles {
                keys += 1;
                let mut params = too_many(&session, &method);
                params[2] = Value::from(pattern.replace('*', "something"));
                let name = method.full_name();
                let error = refusal(&pool, &stranger(), &name, params).await.expect("too many");
                let wanted = if role < *needed { "RBAC_PERMISSION_DENIED" } else { TOO_MANY };
                assert_eq!(&*error.code, wanted, "{name} {pattern} as {role:?}");
            }
        }
    }
    assert!(keys > 0, "no map has such keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_sessions_are_invalid_for_every_message() {
    let pool = Pool::idle(1).await;
    let logged_out = session(&pool, Role::PoolAdmin).await;
    assert!(
        refusal(&pool, &stranger(), "session.logout", vec![logged_out.clone()]).await.is_none()
    );
    let unknown = [
        Value::from(""),
        Value::from("OpaqueRef:NULL"),
        Value::from("root"),
        Value::from(OpaqueRef::new(Uuid::from_u128(1)).to_string()),
        Value::Int(7),
        Value::Set(vec![]),
        logged_out,
    ];
    for method in datamodel::all_methods().filter(Method::session) {
        for name in names(&method) {
            for session in &unknown {
                for peer in [stranger(), Peer::Local { uid: 1000 }] {
                    let error = refusal(&pool, &peer, &name, too_many(session, &method)).await;
                    let error = error.unwrap_or_else(|| panic!("{name} was carried out"));
                    assert_eq!(&*error.code, "SESSION_INVALID", "{name} with {session:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_on_the_host_and_members_need_no_session_for_any_message() {
    let pool = Pool::idle(1).await;
    let member = Peer::Member(pool.h1().uuid, SocketAddr::from(([192, 0, 2, 1], 40000)));
    for method in datamodel::all_methods().filter(Method::session) {
        for peer in [Peer::Local { uid: 0 }, member.clone()] {
            let name = method.full_name();
            let params = too_many(&Value::from("OpaqueRef:NULL"), &method);
            let error = refusal(&pool, &peer, &name, params).await.expect("too many");
            assert_eq!(&*error.code, TOO_MANY, "{name} from {peer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_session_are_few_and_known() {
    let open: Vec<String> =
        datamodel::all_methods().filter(|m| !m.session()).map(|m| m.full_name()).collect();
    assert_eq!(
        open,
        ["session.login_with_password", "session.slave_local_login_with_password"],
        "a message that needs no session checks its caller itself: judge it before adding it here"
    );
}
