//! How long a play takes: from the write of its history entry, and from its MQTT publish, to the text in
//! Chromium. Run by `cargo xtask bench road`.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use kit::{Browser, Database, Desk, Dj, Pika, wait};

const ROUNDS: usize = 40;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let database = Database::sqlite(folder.path());
    let path = dj.home.to_str().unwrap().to_owned();
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("PIKA__PUBLISHER__PATH", path.as_str()),
        ("PIKA__PUBLISHER__SOURCE", "virtualdj"),
    ];
    let pika = Pika::up(folder.path(), &[], &settings).await;
    pika.page().await;
    let browser = Browser::open(500, 1000).await;
    browser.goto(&format!("http://{}/e/tonight/main", pika.web)).await;
    // Notes when each title came up, by the clock that we share with it.
    let watch = "window.seen = {}; new MutationObserver(() => {
        const title = document.querySelector('#now .title');
        if (title && !seen[title.textContent]) seen[title.textContent] = performance.timeOrigin + performance.now();
    }).observe(document.body, { childList: true, subtree: true });";
    browser.run(watch).await;

    let mut from_file = Vec::new();
    for round in 0..ROUNDS {
        let title = format!("From file {round}");
        // Real lists have a second of its own for each play, and so have we.
        wait::moment(1_050).await;
        let written = micros();
        dj.plays(&title);
        from_file.push(seen(&browser, &title).await - written);
    }
    print("history entry written → text in Chromium", "400 ms", &mut from_file);

    let mut from_mqtt = publish_rounds(&pika, &database, &browser).await;
    print("MQTT publish → text in Chromium", "50 ms, aim 15 ms", &mut from_mqtt);
    browser.close().await;
}

/// Publishes as a desk of its own that takes the floor.
async fn publish_rounds(pika: &Pika, database: &Database, browser: &Browser) -> Vec<f64> {
    let mut desk = Desk::open(pika, database, "bench").await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        wait::moment(150).await;
        let title = format!("From MQTT {round}");
        let published = micros();
        assert!(desk.plays(&title));
        times.push(seen(browser, &title).await - published);
    }
    times
}

/// When the page showed the title, in milliseconds.
async fn seen(browser: &Browser, title: &str) -> f64 {
    wait::until(&format!("{title} on the page"), || async {
        browser
            .run(&format!("return seen[{title:?}] || null"))
            .await
            .as_f64()
            .ok_or_else(|| "not yet".to_owned())
    })
    .await
}

/// Milliseconds since 1970, with fractions.
fn micros() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs_f64() * 1000.0
}

fn print(what: &str, must: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!(
        "{what}: median {:.1} ms, p95 {:.1} ms, worst {:.1} ms of {} (must: median under {must})",
        at(0.5),
        at(0.95),
        at(1.0),
        times.len()
    );
}
