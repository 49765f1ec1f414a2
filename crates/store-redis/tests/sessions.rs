//! Sessions of users, on real servers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod common;

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use common::{Db, eventually, on_both, test};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use store_core::ErrorKind;
use store_redis::RedisSessions;

fn main() -> ExitCode {
    common::run([
        on_both("a_session_from_login_to_logout", a_session_from_login_to_logout),
        on_both("all_of_a_user_and_nobody_elses", all_of_a_user_and_nobody_elses),
        on_both("another_id_for_the_same_session", another_id_for_the_same_session),
        vec![
            test("used_it_lives_on_and_unused_it_ends", used_it_lives_on_and_unused_it_ends),
            test("hostile_ids_and_users", hostile_ids_and_users),
        ],
    ])
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Login {
    roles: Vec<String>,
}

fn login(role: &str) -> Login {
    Login { roles: vec![role.to_owned()] }
}

fn sessions(db: &Db, ttl: Duration) -> RedisSessions<Login> {
    RedisSessions::new(&db.store, "web", ttl).unwrap()
}

const HOUR: Duration = Duration::from_hours(1);

async fn a_session_from_login_to_logout(db: Db) {
    let sessions = sessions(&db, HOUR);
    let id = sessions.create("ann", &login("reader")).await.unwrap();
    assert_eq!(sessions.get(&id).await.unwrap(), Some(login("reader")));
    assert!(sessions.update(&id, &login("writer")).await.unwrap());
    assert_eq!(sessions.get(&id).await.unwrap(), Some(login("writer")));
    assert_eq!(sessions.count("ann").await.unwrap(), 1);
    db.assert_all_expire().await;
    assert!(sessions.destroy(&id).await.unwrap() && !sessions.destroy(&id).await.unwrap());
    // A write that comes late does not bring it back.
    assert!(!sessions.update(&id, &login("ghost")).await.unwrap());
    assert_eq!(sessions.get(&id).await.unwrap(), None);
    assert_eq!(sessions.count("ann").await.unwrap(), 0);
    assert!(db.keys().await.is_empty());
}

async fn all_of_a_user_and_nobody_elses(db: Db) {
    let sessions = sessions(&db, HOUR);
    let data = login("reader");
    let anns = try_join_all((0..1_200).map(|_| sessions.create("ann", &data))).await.unwrap();
    assert_eq!(anns.iter().collect::<HashSet<_>>().len(), 1_200);
    let bobs = sessions.create("bob", &data).await.unwrap();
    let elsewhere: RedisSessions<Login> = RedisSessions::new(&db.store, "app", HOUR).unwrap();
    let apps = elsewhere.create("ann", &data).await.unwrap();
    assert_eq!(sessions.count("ann").await.unwrap(), 1_200);
    assert_eq!(elsewhere.get(&anns[0]).await.unwrap(), None);
    assert_eq!(sessions.destroy_all("ann").await.unwrap(), 1_200);
    assert_eq!(sessions.destroy_all("ann").await.unwrap(), 0);
    assert_eq!(sessions.get(&anns[77]).await.unwrap(), None);
    assert!(sessions.get(&bobs).await.unwrap().is_some() && elsewhere.get(&apps).await.unwrap().is_some());
    assert_eq!(db.keys().await.len(), 4);
}

async fn another_id_for_the_same_session(db: Db) {
    let sessions = sessions(&db, HOUR);
    let old = sessions.create("ann", &login("guest")).await.unwrap();
    let new = sessions.rotate(&old).await.unwrap();
    assert_ne!(old, new);
    assert_eq!(sessions.get(&old).await.unwrap(), None);
    assert_eq!(sessions.get(&new).await.unwrap(), Some(login("guest")));
    assert_eq!(sessions.rotate(&old).await.unwrap_err().kind(), ErrorKind::NotFound);
    db.assert_all_expire().await;
    assert_eq!(sessions.destroy_all("ann").await.unwrap(), 1);
    assert!(db.keys().await.is_empty());
}

async fn used_it_lives_on_and_unused_it_ends(db: Db) {
    let sessions = sessions(&db, Duration::from_secs(2));
    let (used, unused) = (
        sessions.create("ann", &login("a")).await.unwrap(),
        sessions.create("ann", &login("b")).await.unwrap(),
    );
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(sessions.get(&used).await.unwrap().is_some());
    }
    assert_eq!(sessions.get(&unused).await.unwrap(), None);
    assert_eq!(sessions.count("ann").await.unwrap(), 1);
    eventually("all ended", async || db.keys().await.is_empty()).await;
}

async fn hostile_ids_and_users(db: Db) {
    let sessions = sessions(&db, HOUR);
    let data = login("x");
    let id = sessions.create("ann", &data).await.unwrap();
    let tag = &id[..32];
    for bad in [
        "",
        "*",
        tag,
        &format!("{tag}:{id}"),
        &format!("{id}}}"),
        &id[1..],
        &"0".repeat(64),
        &id.replace(&id[..1], "{"),
    ] {
        assert_eq!(sessions.get(bad).await.unwrap(), None, "{bad}");
        assert!(!sessions.destroy(bad).await.unwrap() && !sessions.update(bad, &data).await.unwrap());
        assert_eq!(sessions.rotate(bad).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    for user in ["*", "ann\0", "a:b", "{x}", "žába"] {
        let id = sessions.create(user, &data).await.unwrap();
        assert_eq!(sessions.get(&id).await.unwrap(), Some(data.clone()));
        assert_eq!(sessions.destroy_all(user).await.unwrap(), 1);
    }
    assert_eq!(sessions.create("", &data).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(sessions.get(&id).await.unwrap().is_some());
    let error = RedisSessions::<u32>::new(&db.store, "web", HOUR).unwrap().get(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(!error.to_string().contains(&id), "{error}");
}
