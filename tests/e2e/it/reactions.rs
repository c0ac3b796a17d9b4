//! From a dancer's tap to the archive: counted once for each dancer, whatever is sent again, and answered when stored.

use std::path::Path;

use kit::{Database, Dj, Phone, Pika, http, wait};
use protocol::{NowPlaying, PlayId, Reactions};
use store::Tally;

use crate::road::up;

/// Somebody who comes, and likes what is on.
fn likes(web: &str, play: PlayId) -> Phone {
    let phone = Phone::comes(web);
    stored(&phone, "like", &format!("{{\"play_id\":\"{play}\"}}"));
    phone
}

fn stored(phone: &Phone, what: &str, json: &str) {
    let answer = phone.taps(what, json);
    assert_eq!((answer.status, answer.text().as_str()), (200, "{\"stored\":true}"));
    assert_eq!(answer.header("set-cookie"), None);
}

/// The play that is on, once it is the one of that title.
pub async fn on(pika: &Pika, title: &str) -> PlayId {
    wait::until(&format!("{title} to be on"), || async {
        let now = http::get(&pika.web, "/api/v1/tonight/main/now")?;
        let now: NowPlaying = serde_json::from_slice(&now.body).map_err(|error| error.to_string())?;
        let play = now.play.filter(|play| play.track.title.as_deref() == Some(title));
        play.map(|play| play.id).ok_or_else(|| "another one".to_owned())
    })
    .await
}

async fn published(pika: &Pika, expected: impl Fn(&Reactions) -> bool) {
    wait::until("the tally to be published", || async {
        let answer = http::get(&pika.web, "/api/v1/tonight/main/reactions")?;
        let told: Option<Reactions> =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if told.as_ref().is_some_and(&expected) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

async fn a_tap_counts_once(database: Database, folder: &Path) {
    let mut dj = Dj::new(folder);
    let pika = up(folder, &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;

    let (mut one, mut two) = (likes(&pika.web, play), likes(&pika.web, play));
    let id = format!("\"play_id\":\"{play}\"");
    for _ in 0..3 {
        stored(&one, "like", &format!("{{{id}}}"));
        stored(&two, "tempo", &format!("{{{id},\"wish\":\"faster\"}}"));
    }
    stored(&one, "thanks", &format!("{{{id}}}"));
    published(&pika, |told| (told.likes, told.tempo.faster, told.thanks) == (2, 1, 1)).await;
    stored(&two, "like", &format!("{{{id},\"on\":false}}"));
    stored(&two, "tempo", &format!("{{{id},\"wish\":\"slower\"}}"));
    published(&pika, |told| (told.likes, told.tempo.faster, told.tempo.slower) == (1, 0, 1)).await;

    // Stored is what was answered, and a restart changes nothing: neither the tally nor who is who.
    let store = database.store();
    let tally = store.tally(play).await.unwrap();
    assert_eq!((tally.likes, tally.tempo.slower, tally.thanks), (1, 1, 1));
    drop(pika);
    let pika = up(folder, &database, &dj, &[]).await;
    (one.web, two.web) = (pika.web.clone(), pika.web.clone());
    assert_eq!(on(&pika, "Glass Tide").await, play);
    published(&pika, |told| (told.likes, told.thanks) == (1, 1)).await;
    stored(&one, "like", &format!("{{{id}}}"));
    published(&pika, |told| told.likes == 1).await;

    // About the track before, too, and the tally of the one that is on stays its own.
    dj.plays("Half Life");
    let next = on(&pika, "Half Life").await;
    published(&pika, |told| told.play_id == Some(next) && told.likes == 0).await;
    stored(&two, "like", &format!("{{{id}}}"));
    assert_eq!(store.tally(play).await.unwrap().likes, 2);
    assert_eq!(store.tally(next).await.unwrap(), Tally::default());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_counts_once_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_tap_counts_once(Database::sqlite(folder.path()), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_counts_once_on_postgres() {
    let folder = tempfile::tempdir().unwrap();
    a_tap_counts_once(Database::postgres(), folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tap_sent_again_does_not_undo_a_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let phone = likes(&pika.web, play);
    // A phone that had no network: what it said first comes last, with the time of its tap.
    let now_ms = config::clock::now_ms();
    let key = |at_ms: i64| {
        let hex = format!("{at_ms:012x}");
        format!("{}-{}-7000-8000-000000000000", &hex[..8], &hex[8..])
    };
    let like = |on: bool, at_ms| format!("{{\"play_id\":\"{play}\",\"on\":{on},\"key\":\"{}\"}}", key(at_ms));
    stored(&phone, "like", &like(false, now_ms));
    stored(&phone, "like", &like(true, now_ms - 60_000));
    published(&pika, |told| told.likes == 0).await;
    // So late that the page does not show the track any more.
    for number in 0..25 {
        dj.plays(&format!("Later {number}"));
    }
    on(&pika, "Later 24").await;
    stored(&phone, "like", &like(true, now_ms + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dancer_can_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (mut dj, database) = (Dj::new(folder.path()), Database::sqlite(folder.path()));
    let pika = up(folder.path(), &database, &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let (phone, other) = (likes(&pika.web, play), likes(&pika.web, play));
    let forget =
        |cookie: &str| http::post(&pika.web, "/api/v1/me/forget", &[("Cookie", cookie)], "").unwrap();
    assert_eq!(forget("").status, 404, "nobody is nobody");
    let forgotten = forget(&phone.cookie);
    assert_eq!((forgotten.status, forgotten.text().as_str()), (200, "{\"stored\":true}"));
    assert!(forgotten.header("set-cookie").unwrap().contains("Max-Age=0"));
    let store = database.store();
    let left = store.reactions(play, 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.dancer.as_str()).collect::<Vec<_>>(), [other.id()]);
    assert_eq!(store.tally(play).await.unwrap().likes, 2, "what was counted stays counted");
    store.close().await;
    published(&pika, |told| told.likes == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_tap_gets_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let path = "/api/v1/tonight/main/like";
    let good = format!("{{\"play_id\":\"{play}\"}}");
    let phone = Phone::comes(&pika.web);
    let cookie = ("Cookie", phone.cookie.as_str());
    let status = |path: &str, headers: &[(&str, &str)], body: &str| {
        http::post(&pika.web, path, &[&[cookie], headers].concat(), body).unwrap().status
    };
    let json = ("Content-Type", "application/json");
    assert_eq!(status(path, &[], &good), 415);
    assert_eq!(status(path, &[json], "{}"), 400);
    assert_eq!(status(path, &[json], &format!("{good}{}", " ".repeat(2_000))), 400);
    assert_eq!(status(path, &[json], "{\"play_id\":\"0195ad2c-7a10-7001-8000-000000000001\"}"), 404);
    assert_eq!(status("/api/v1/tonight/attic/like", &[json], &good), 404);
    assert_eq!(status(path, &[json, ("Origin", "https://elsewhere.example")], &good), 403);
    assert_eq!(http::get(&pika.web, path).unwrap().status, 405);

    // A plain form comes back to the page, and is told what is wrong by a page.
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let liked = http::post(&pika.web, path, &[cookie, form], &format!("play_id={play}")).unwrap();
    assert_eq!((liked.status, liked.header("location")), (303, Some("/e/tonight/main")));
    let wrong = http::post(&pika.web, path, &[cookie, form], "play_id=x").unwrap();
    assert!(wrong.status == 400 && wrong.text().contains("<!DOCTYPE html>"));
    published(&pika, |told| told.likes == 1).await;
}
