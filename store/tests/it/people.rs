//! People, their sessions and what is on record of their changes, on both engines.

use std::collections::HashMap;

use pika_store::{
    By, Event, FLOORS_MAX, Floor, FloorSet, Kept, PasswordHash, Role, SESSION_IDLE_MS, Session, Store, Token,
    TokenKind,
};
use protocol::{EventId, MessageId, PersonId};

const NOW_MS: i64 = 1_800_000_000_000;
const DAY_MS: i64 = 86_400_000;

fn by(at_ms: i64) -> By {
    // As everywhere, of each change another one.
    static COUNT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes();
    By {
        who: "ada".to_owned(),
        at_ms,
        id: MessageId::at(at_ms, [0, 0, 0, 0, 0, 0, 0, 0, count[0], count[1]]),
    }
}

fn person(id: &str) -> PersonId {
    id.parse().unwrap()
}

fn session(of: &str, n: u8, at_ms: i64) -> Session {
    Session {
        sha256: [n; 32],
        person: person(of),
        browser: "Firefox".to_owned(),
        created_ms: at_ms,
        seen_ms: at_ms,
    }
}

async fn begins(store: &Store, of: &str, n: u8, at_ms: i64) {
    store.begin_session(&session(of, n, at_ms), &by(at_ms)).await.unwrap();
}

async fn is_logged_in(store: &Store, n: u8, now_ms: i64) -> bool {
    store.session(&[n; 32], now_ms).await.unwrap().is_some()
}

fn desk(name: &str) -> Token {
    Token {
        name: name.to_owned(),
        kind: TokenKind::Desk,
        event: "tonight".parse().unwrap(),
        floor: None,
        sha256: Token::hash(name),
        expires_ms: None,
        revoked_ms: None,
    }
}

fn tonight(floors: &[&str]) -> Event {
    let floor = |id: &&str| Floor { id: id.parse().unwrap(), name: id.to_uppercase() };
    Event {
        id: "tonight".parse().unwrap(),
        name: "Tonight".to_owned(),
        time_zone: "Europe/Warsaw".to_owned(),
        accent: None,
        floors: floors.iter().map(floor).collect(),
    }
}

pub async fn a_person_logs_in_and_out(store: Store) {
    assert!(store.add_person(&person("ada"), Role::Organizer, &by(NOW_MS)).await.unwrap());
    assert!(!store.add_person(&person("ada"), Role::Dj, &by(NOW_MS)).await.unwrap(), "once");
    assert_eq!(store.login_of(&person("ada")).await.unwrap(), Some((Role::Organizer, None)));
    assert_eq!(store.login_of(&person("bob")).await.unwrap(), None);
    let hash = PasswordHash::of("correct horse", &[3; 16]).unwrap();
    assert!(store.set_password(&person("ada"), &hash, None, &by(NOW_MS + 1)).await.unwrap());
    assert!(!store.set_password(&person("bob"), &hash, None, &by(NOW_MS + 1)).await.unwrap());
    let (_, stored) = store.login_of(&person("ada")).await.unwrap().unwrap();
    assert!(stored.unwrap().is_of("correct horse"));

    begins(&store, "ada", 1, NOW_MS + 2).await;
    let (found, role) = store.session(&[1; 32], NOW_MS + 3).await.unwrap().unwrap();
    assert_eq!((found, role), (session("ada", 1, NOW_MS + 2), Role::Organizer));
    assert_eq!(store.session(&[2; 32], NOW_MS + 3).await.unwrap(), None);
    store.see_session(&[1; 32], NOW_MS + DAY_MS).await.unwrap();
    store.see_session(&[1; 32], NOW_MS).await.unwrap();
    let [ada] = &store.people().await.unwrap()[..] else { panic!("one person") };
    assert_eq!((ada.password_ms, ada.seen_ms), (Some(NOW_MS + 1), Some(NOW_MS + DAY_MS)));
    // A browser that nobody uses is forgotten.
    assert!(is_logged_in(&store, 1, NOW_MS + DAY_MS + SESSION_IDLE_MS - 1).await);
    assert!(!is_logged_in(&store, 1, NOW_MS + DAY_MS + SESSION_IDLE_MS).await);

    begins(&store, "ada", 2, NOW_MS + DAY_MS).await;
    assert!(!store.end_session(&person("bob"), &[2; 32], &by(NOW_MS)).await.unwrap(), "not his");
    assert!(store.end_session(&person("ada"), &[2; 32], &by(NOW_MS)).await.unwrap());
    assert!(!is_logged_in(&store, 2, NOW_MS + DAY_MS).await);
    assert_eq!(store.end_sessions(&person("ada"), &by(NOW_MS)).await.unwrap(), 1);
    assert!(store.sessions_of(&person("ada")).await.unwrap().is_empty());
}

pub async fn a_new_password_logs_out_everywhere_else(store: Store) {
    store.add_person(&person("ada"), Role::Organizer, &by(NOW_MS)).await.unwrap();
    for n in 1..=3 {
        begins(&store, "ada", n, NOW_MS + i64::from(n)).await;
    }
    let hash = PasswordHash::of("correct horse", &[3; 16]).unwrap();
    assert!(store.set_password(&person("ada"), &hash, Some(&[2; 32]), &by(NOW_MS + 9)).await.unwrap());
    let left = store.sessions_of(&person("ada")).await.unwrap();
    assert_eq!(left, [session("ada", 2, NOW_MS + 2)]);
    // More browsers than anybody has: the ones that were used least lately go.
    for n in 10..40 {
        begins(&store, "ada", n, NOW_MS + i64::from(n)).await;
    }
    let left = store.sessions_of(&person("ada")).await.unwrap();
    assert_eq!((left.len(), left.last().unwrap().sha256), (20, [20; 32]));
}

pub async fn there_is_always_an_organizer(store: Store) {
    for (id, role) in [("ada", Role::Organizer), ("bob", Role::Dj)] {
        store.add_person(&person(id), role, &by(NOW_MS)).await.unwrap();
    }
    let (ada, bob) = (person("ada"), person("bob"));
    assert_eq!(store.remove_person(&ada, &by(NOW_MS)).await.unwrap(), Err(Kept::LastOrganizer));
    assert_eq!(store.set_role(&ada, Role::Dj, &by(NOW_MS)).await.unwrap(), Err(Kept::LastOrganizer));
    assert_eq!(store.remove_person(&person("eve"), &by(NOW_MS)).await.unwrap(), Err(Kept::Nobody));
    assert_eq!(
        store.set_role(&person("eve"), Role::Organizer, &by(NOW_MS)).await.unwrap(),
        Err(Kept::Nobody)
    );
    assert_eq!(store.set_role(&bob, Role::Organizer, &by(NOW_MS)).await.unwrap(), Ok(()));
    assert_eq!(store.set_role(&ada, Role::Dj, &by(NOW_MS)).await.unwrap(), Ok(()));
    let roles: Vec<Role> = store.people().await.unwrap().iter().map(|person| person.role).collect();
    assert_eq!(roles, [Role::Dj, Role::Organizer]);
}

pub async fn with_a_dj_go_his_desks_and_sessions(store: Store) {
    for (id, role) in [("ada", Role::Organizer), ("bob", Role::Dj)] {
        store.add_person(&person(id), role, &by(NOW_MS)).await.unwrap();
    }
    let bob = person("bob");
    assert!(store.add_token(&desk("booth"), "$7$one", Some(&bob), &by(NOW_MS)).await.unwrap());
    assert!(store.add_token(&desk("cellar"), "$7$two", None, &by(NOW_MS)).await.unwrap());
    store.use_tokens(&HashMap::from([("booth".to_owned(), NOW_MS + 5)])).await.unwrap();
    store.use_tokens(&HashMap::from([("booth".to_owned(), NOW_MS + 4)])).await.unwrap();
    begins(&store, "bob", 1, NOW_MS).await;
    let listed = store.listed_tokens().await.unwrap();
    let seen: Vec<_> =
        listed.iter().map(|one| (one.token.name.as_str(), one.owner.clone(), one.used_ms)).collect();
    assert_eq!(seen, [("booth", Some(bob.clone()), Some(NOW_MS + 5)), ("cellar", None, None)]);
    assert_eq!(store.remove_person(&bob, &by(NOW_MS + 9)).await.unwrap(), Ok(()));
    assert!(!is_logged_in(&store, 1, NOW_MS).await);
    let revoked: Vec<_> = store.tokens().await.unwrap().iter().map(|token| token.revoked_ms).collect();
    assert_eq!(revoked, [Some(NOW_MS + 9), None]);
}

pub async fn changes_are_on_record(store: Store) {
    store.add_person(&person("ada"), Role::Organizer, &by(NOW_MS)).await.unwrap();
    store.add_token(&desk("booth"), "$7$one", None, &by(NOW_MS + 1)).await.unwrap();
    // What changes nothing is not on record.
    assert!(!store.add_token(&desk("booth"), "$7$one", None, &by(NOW_MS + 2)).await.unwrap());
    assert!(!store.revoke_token("nobody", &by(NOW_MS + 3)).await.unwrap());
    store.revoke_token("booth", &by(NOW_MS + 4)).await.unwrap();
    store.note(&by(NOW_MS + 5), "backup", "pika.db").await.unwrap();
    let record = async |limit| {
        let changes = store.changes(None, limit).await.unwrap();
        changes
            .iter()
            .map(|change| format!("{} {}: {}", change.who, change.what, change.about))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        record(10).await,
        [
            "ada backup: pika.db",
            "ada revoked a token: booth",
            "ada added a token: booth, desk",
            "ada added a person: ada, organizer"
        ]
    );
    let newest = store.changes(None, 1).await.unwrap();
    let older = store.changes(Some(newest[0].id), 1).await.unwrap();
    assert_eq!((newest.len(), older.len(), &*older[0].what), (1, 1, "revoked a token"));
    assert_eq!(store.last_change("backup").await.unwrap().unwrap().at_ms, NOW_MS + 5);
    assert_eq!(store.last_change("flood").await.unwrap(), None);
    store.note(&by(NOW_MS + 500 * DAY_MS), "backup", "late.db").await.unwrap();
    assert_eq!(record(10).await, ["ada backup: late.db"], "after more than a year, the others are forgotten");
}

/// Programs that write to one file at the same moment wait for each other, also when they read before.
#[tokio::test(flavor = "multi_thread")]
async fn several_programs_change_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = kit::Database::sqlite(folder.path());
    let stores: Vec<Store> = (0..4).map(|_| database.store()).collect();
    stores[0].migrate().await.unwrap();
    stores[0].add_event(&tonight(&["main"]), 1).await.unwrap();
    let mut programs = tokio::task::JoinSet::new();
    for (number, store) in stores.into_iter().enumerate() {
        programs.spawn(async move {
            let event: EventId = "tonight".parse().unwrap();
            for n in 0..40 {
                let floor = Floor { id: format!("room-{number}").parse().unwrap(), name: format!("{n}") };
                assert_eq!(store.set_floor(&event, &floor, &by(NOW_MS)).await.unwrap(), FloorSet::Done);
            }
        });
    }
    programs.join_all().await;
}

pub async fn floors_come_and_go(store: Store) {
    let event: EventId = "tonight".parse().unwrap();
    let floor = |id: &str, name: &str| Floor { id: id.parse().unwrap(), name: name.to_owned() };
    let floors = async || {
        let events = store.events().await.unwrap();
        let floors = events.first().map(|event| event.floors.clone()).unwrap_or_default();
        floors.iter().map(|floor| format!("{} {}", floor.id, floor.name)).collect::<Vec<_>>()
    };
    let set = async |one: &Floor| store.set_floor(&event, one, &by(NOW_MS)).await.unwrap();
    let retire =
        async |id: &str| store.retire_floor(&event, &id.parse().unwrap(), &by(NOW_MS)).await.unwrap();
    assert_eq!(set(&floor("main", "Main")).await, FloorSet::NoEvent);
    store.add_event(&tonight(&["main"]), 1).await.unwrap();
    assert!(!retire("main").await, "the last one stays");
    assert_eq!(set(&floor("attic", "Attic")).await, FloorSet::Done);
    assert_eq!(set(&floor("main", "Great hall")).await, FloorSet::Done);
    assert_eq!(floors().await, ["main Great hall", "attic Attic"]);
    assert!(!retire("cellar").await, "there is none");
    assert!(retire("main").await);
    assert!(!retire("main").await, "once");
    assert_eq!(floors().await, ["attic Attic"]);
    assert!(!retire("attic").await, "now it is the last one");
    // What the settings of a program say does not bring it back, and a person does.
    store.add_event(&tonight(&["main"]), 2).await.unwrap();
    assert_eq!(floors().await, ["attic Attic"]);
    assert_eq!(store.every_event().await.unwrap()[0].floors.len(), 2);
    assert_eq!(set(&floor("main", "Main")).await, FloorSet::Done);
    assert_eq!(floors().await, ["main Main", "attic Attic"]);
    for n in 2..FLOORS_MAX {
        assert_eq!(set(&floor(&format!("room-{n}"), "Room")).await, FloorSet::Done);
    }
    assert_eq!(set(&floor("one-more", "Room")).await, FloorSet::Full);
    assert_eq!(set(&floor("main", "Main again")).await, FloorSet::Done, "not one more");

    assert!(store.retire_event(&event, &by(NOW_MS)).await.unwrap());
    assert!(!store.retire_event(&event, &by(NOW_MS)).await.unwrap());
    assert!(store.events().await.unwrap().is_empty());
    let changed = Event { name: "Tonight, again".to_owned(), ..tonight(&[]) };
    store.set_event(&changed, &by(NOW_MS)).await.unwrap();
    assert_eq!(store.events().await.unwrap()[0].name, "Tonight, again");
    assert!(!store.retire_event(&"never".parse().unwrap(), &by(NOW_MS)).await.unwrap());
}
