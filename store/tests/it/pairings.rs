//! Desks that ask, on both engines.

use pika_store::{LetIn, PAIRING_LASTS_MS, Pairing, Store};
use protocol::EventId;

const NOW_MS: i64 = 1_800_000_000_000;

fn event() -> EventId {
    "tonight".parse().unwrap()
}

fn asking(id: &str, at_ms: i64) -> Pairing {
    Pairing {
        id: id.to_owned(),
        event: event(),
        desk: "booth".parse().unwrap(),
        name: Some("Łódź".to_owned()),
        commitment: "00".repeat(32),
        desk_key: None,
        created_ms: at_ms,
        granted: None,
        token_name: None,
    }
}

async fn asks(store: &Store, id: &str, code: &str, at_ms: i64) {
    assert!(store.ask_pairing(&asking(id, at_ms), at_ms).await.unwrap(), "{id}");
    assert!(store.reveal_pairing(id, &"11".repeat(32), code).await.unwrap(), "{id}");
}

pub async fn a_desk_is_let_in_once_and_by_its_code_alone(store: Store) {
    assert!(store.ask_pairing(&asking("a", NOW_MS), NOW_MS).await.unwrap());
    assert_eq!(store.pairing("a").await.unwrap(), Some(asking("a", NOW_MS)));
    let floor = "main".parse().unwrap();
    let let_in = async |code: &str, now_ms: i64| {
        store.let_in(&event(), code, Some(&floor), Some(7), now_ms).await.unwrap()
    };
    // Without a key there is no code.
    assert_eq!(let_in("000 042", NOW_MS).await, LetIn::Nobody);
    assert!(store.reveal_pairing("a", &"11".repeat(32), "000 042").await.unwrap());
    assert!(!store.reveal_pairing("a", &"22".repeat(32), "000 043").await.unwrap(), "once");
    let elsewhere = "other".parse().unwrap();
    assert_eq!(store.let_in(&elsewhere, "000 042", None, None, NOW_MS).await.unwrap(), LetIn::Nobody);
    assert_eq!(let_in("000 043", NOW_MS).await, LetIn::Nobody);
    let LetIn::Done(desk) = let_in("000 042", NOW_MS + 1).await else { panic!("it waits") };
    let granted = desk.granted.clone().unwrap();
    assert_eq!(
        (granted.at_ms, granted.floor, granted.expires_ms),
        (NOW_MS + 1, Some(floor.clone()), Some(7))
    );
    assert_eq!(let_in("000 042", NOW_MS + 2).await, LetIn::Nobody, "once");
    store.name_pairing("a", "booth-2").await.unwrap();
    let known = store.pairing("a").await.unwrap().unwrap();
    assert_eq!((known.token_name.as_deref(), known.granted), (Some("booth-2"), desk.granted));
    store.drop_pairing("a").await.unwrap();
    assert_eq!(store.pairing("a").await.unwrap(), None);
}

pub async fn of_two_desks_with_one_code_none_is_let_in(store: Store) {
    asks(&store, "a", "123 456", NOW_MS).await;
    asks(&store, "b", "123 456", NOW_MS).await;
    asks(&store, "c", "123 457", NOW_MS).await;
    let waiting = store.waiting_pairings(&event(), NOW_MS).await.unwrap();
    assert_eq!(waiting.iter().map(|desk| &*desk.id).collect::<Vec<_>>(), ["a", "b", "c"]);
    let let_in =
        async |code: &str, now_ms: i64| store.let_in(&event(), code, None, None, now_ms).await.unwrap();
    assert_eq!(let_in("123 456", NOW_MS).await, LetIn::Several);
    assert!(matches!(let_in("123 457", NOW_MS).await, LetIn::Done(_)));
    // Nobody waits for ever.
    store.drop_pairing("b").await.unwrap();
    assert_eq!(let_in("123 456", NOW_MS + PAIRING_LASTS_MS).await, LetIn::Nobody);
    assert!(store.waiting_pairings(&event(), NOW_MS + PAIRING_LASTS_MS).await.unwrap().is_empty());
}

pub async fn as_many_desks_wait_as_may(store: Store) {
    let mut room = 0;
    while store.ask_pairing(&asking(&format!("a{room}"), NOW_MS), NOW_MS).await.unwrap() {
        room += 1;
        assert!(room < 1_000, "there is a bound");
    }
    assert_eq!(room, 32);
    // Those who have waited long enough make room, and are forgotten after an hour.
    let later_ms = NOW_MS + PAIRING_LASTS_MS;
    assert!(store.ask_pairing(&asking("later", later_ms), later_ms).await.unwrap());
    assert!(store.pairing("a0").await.unwrap().is_some());
    let much_later_ms = NOW_MS + 3_700_000;
    assert!(store.ask_pairing(&asking("much later", much_later_ms), much_later_ms).await.unwrap());
    assert_eq!(store.pairing("a0").await.unwrap(), None);
}
