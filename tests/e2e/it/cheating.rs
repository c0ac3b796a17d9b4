//! Taps that must not count, and what they are answered; and honest dancers behind one address, who all count.

use std::net::TcpStream;

use kit::{Database, Dj, Phone, Pika, http, wait};
use protocol::Reactions;

use crate::reactions::on;
use crate::road::up;
use crate::tunnel::Raw;

/// A web app with the limits that it has by default, but for the wait of newcomers.
const AS_SHIPPED: [(&str, &str); 2] =
    [("PIKA__WEB__TAPS_PER_MINUTE", "10"), ("PIKA__WEB__FIRST_TAP_AFTER_S", "0")];

async fn tally(pika: &Pika, expected: impl Fn(&Reactions) -> bool) {
    wait::until("the tally", || async {
        let answer = http::get(&pika.web, "/api/v1/tonight/main/reactions")?;
        let told: Option<Reactions> =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if told.as_ref().is_some_and(&expected) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
}

/// An open page: a WebSocket with the dancer's cookie.
fn watches(phone: &Phone) -> Raw {
    let (path, cookie) = (format!("/ws?floor={}", phone.floor), format!("Cookie: {}\r\n", phone.cookie));
    Raw::open_at(TcpStream::connect(&phone.web).unwrap(), &path, &phone.web, &cookie, b"").0
}

fn like(play: impl std::fmt::Display) -> String {
    format!("{{\"play_id\":\"{play}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_borrowed_and_replayed_taps_count_once_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let floors = r#"[{ id = "main", name = "Main" }, { id = "cellar", name = "Cellar" }]"#;
    let more = [&AS_SHIPPED[..], &[("PIKA__EVENT__FLOORS", floors)]].concat();
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &more).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let honest = Phone::comes(&pika.web);
    let _page = watches(&honest);

    // The same tap again and again, with the same key and with others, from this browser and from a borrowed cookie.
    let borrowed = honest.clone();
    let key = "01a2fe3f-9400-7123-8000-000000000000";
    for phone in [&honest, &borrowed, &honest] {
        assert_eq!(phone.taps_with("like", &like(play), &[("Idempotency-Key", key)]).status, 200);
    }
    assert_eq!(borrowed.taps("like", &like(play)).status, 200);
    tally(&pika, |told| told.likes == 1).await;

    // Cookies that we did not make.
    let (id, rest) = honest.cookie.split_once('=').unwrap().1.split_once('.').unwrap();
    let other = if id.starts_with('0') { "1" } else { "0" };
    for cookie in [
        format!("pika_dancer={other}{}.{rest}", &id[1..]),
        format!("pika_dancer={id}.{}", &rest[..rest.len() - 1]),
        "pika_dancer=0123456789abcdef01234567.6a000000.0123456789abcdef0123456789abcdef".to_owned(),
        format!("__Host-{}", honest.cookie),
        String::new(),
    ] {
        let forged = Phone { cookie, ..honest.clone() };
        let answer = forged.taps("like", &like(play));
        assert_eq!(answer.status, 403, "{}: {}", forged.cookie, answer.text());
        assert!(answer.text().contains("Open the floor"), "{}", answer.text());
    }

    // Of a floor on which it was not played, and of no play at all.
    let elsewhere = Phone { floor: "tonight/cellar".to_owned(), ..honest.clone() };
    assert_eq!(elsewhere.taps("like", &like(play)).status, 404);
    assert_eq!(honest.taps("like", &like("0195ad2c-7a10-7001-8000-000000000001")).status, 404);
    assert_eq!(
        honest.taps("vote", "{\"poll_id\":\"0195ad2c-7a10-7001-8000-000000000001\",\"option\":0}").status,
        404
    );

    // From another site's page: by form, by script, and by a socket that would listen in a dancer's name.
    let path = "/api/v1/tonight/main/like";
    for foreign in [
        [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")],
        [("Origin", "null"), ("X-Requested-With", "x")],
        [("Sec-Fetch-Site", "same-site"), ("X-Requested-With", "x")],
    ] {
        for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            let headers = [("Content-Type", kind), ("Cookie", honest.cookie.as_str())];
            let answer =
                http::post(&pika.web, path, &[&headers[..], &foreign].concat(), &like(play)).unwrap();
            assert_eq!(answer.status, 403, "{foreign:?} {kind}");
        }
    }
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Cookie", honest.cookie.as_str()),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(http::get_with(&pika.web, "/ws?floor=tonight/main", &upgrade).unwrap().status, 403);
    // A console is nobody's who has not logged in.
    let console = http::get_with(&pika.web, "/ws?floor=tonight/main&screen=console", &upgrade[..5]).unwrap();
    assert_eq!(console.status, 401);

    // Ten taps a minute, and then a time to wait; four were honest, and of the others none has counted.
    let tempo = format!("{{\"play_id\":\"{play}\",\"wish\":\"faster\"}}");
    let statuses: Vec<u16> = (0..8).map(|_| honest.taps("tempo", &tempo).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 429, 429]);
    let refused = honest.taps("thanks", &like(play));
    let wait_s: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    tally(&pika, |told| (told.likes, told.tempo.faster, told.thanks) == (1, 1, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cookies_of_one_address_count_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let more = [("PIKA__WEB__TAPS_PER_MINUTE", "10"), ("PIKA__WEB__FIRST_TAP_AFTER_S", "3600")];
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &more).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    for _ in 0..50 {
        let answer = Phone::comes(&pika.web).taps("like", &like(play));
        assert_eq!((answer.status, answer.header("retry-after").is_some()), (429, true), "{}", answer.text());
    }
    tally(&pika, |told| told.likes == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_without_an_open_page_share_what_one_dancer_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &AS_SHIPPED).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    // Whatever proxy they claim to come from: nobody here is trusted to say so.
    let counted = (0..50).filter(|n| {
        let spoofed = format!("203.0.113.{n}");
        let phone = Phone::comes(&pika.web);
        phone.taps_with("like", &like(play), &[("X-Forwarded-For", spoofed.as_str())]).status == 200
    });
    assert_eq!(counted.count(), 10);
    tally(&pika, |told| told.likes == 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_address_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let more = [&AS_SHIPPED[..], &[("PIKA__WEB__PROXIES", "[\"127.0.0.1\"]")]].concat();
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &more).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let proxied = |n: u32, spoofed: &str| {
        let address = format!("{spoofed}203.0.113.{n}");
        let phone = Phone::comes(&pika.web);
        phone.taps_with("like", &like(play), &[("X-Forwarded-For", address.as_str())]).status
    };
    assert!((0..30).all(|n| proxied(n, "") == 200), "thirty people at thirty addresses");
    // One address that claims to be others: what it writes itself stands left of what the proxy adds.
    let counted = (0..30).filter(|n| proxied(99, &format!("198.51.100.{n}, ")) == 200).count();
    assert_eq!(counted, 10);
    // Over HTTPS the cookie is for this host alone, and browsers are told to come back the same way.
    let secure = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")];
    let page = http::get_with(&pika.web, "/e/tonight/main", &secure).unwrap();
    let cookie = page.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-pika_dancer=") && cookie.contains("; Secure"), "{cookie}");
    assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_honest_dancers_behind_one_address_all_count() {
    const DANCERS: usize = 500;
    const THREADS: usize = 10;
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &AS_SHIPPED).await;
    pika.page().await;
    dj.plays("Glass Tide");
    let play = on(&pika, "Glass Tide").await;
    let come = |_| -> Vec<(Phone, Raw)> {
        let come = |_| {
            let phone = Phone::comes(&pika.web);
            assert!(!phone.cookie.is_empty(), "everybody is somebody");
            let page = watches(&phone);
            (phone, page)
        };
        (0..DANCERS / THREADS).map(come).collect()
    };
    let everybody: Vec<Vec<(Phone, Raw)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || come(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    std::thread::scope(|scope| {
        for some in &everybody {
            scope.spawn(move || {
                for (phone, _page) in some {
                    let answer = phone.taps("like", &like(play));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    tally(&pika, |told| told.likes as usize == DANCERS).await;
}

/// A join of N costs frames for N, and not for each pair of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_join_storm_costs_each_phone_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    pika.page().await;
    for number in 0..5 {
        dj.plays(&format!("Track {number}"));
    }
    on(&pika, "Track 4").await;
    let nobody = Phone { web: pika.web.clone(), floor: "tonight/main".to_owned(), cookie: String::new() };
    let mut each = Vec::new();
    for dancers in [50, 1_000] {
        let mut pages: Vec<Raw> = (0..dancers).map(|_| watches(&nobody)).collect();
        tally(&pika, |told| told.listeners == dancers).await;
        let mut frames = 0;
        for page in &mut pages {
            // What has come so far; then there is nothing more to read.
            page.stream.set_nonblocking(true).unwrap();
            frames += std::iter::from_fn(|| page.next()).count();
        }
        each.push(frames as f64 / f64::from(dancers));
        drop(pages);
        tally(&pika, |told| told.listeners == 0).await;
    }
    // The clock, eleven parts, and the number of listeners now and then.
    assert!(each[1] <= each[0] * 1.5 && each[0] >= 5.0, "{each:?} frames for each phone");
}
