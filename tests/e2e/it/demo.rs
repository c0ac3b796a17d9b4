//! What a newcomer sees first: `pika up --demo`.

use kit::mosquitto::Subscriber;
use kit::{Browser, Database, Pika, wait};

#[tokio::test(flavor = "multi_thread")]
async fn each_demo_track_reaches_the_page_every_mqtt_client_and_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("PIKA__DEMO__EVERY_MS", "8000"), ("PIKA__DEMO__TRACKS", "3")];
    let pika = Pika::up(folder.path(), &["--demo"], &settings).await;
    let topic = ["-t", "pika/v1/tonight/main/now/#", "-v"];
    let old = Subscriber::start(&pika.mqtt, &topic);
    let new = Subscriber::start(&pika.mqtt, &[&topic[..], &["-V", "5"]].concat());
    let browser = Browser::open(500, 1000).await;
    browser.goto(&format!("http://{}/", pika.web)).await;
    browser.run("window.untouched = true").await;
    // A projector of the smaller kind, 720 lines without the browser's own, and a title with a long word.
    let projector = Browser::open(1280, 863).await;
    projector.goto(&format!("http://{}/e/tonight/main/stage", pika.web)).await;
    projector.sees("#now .title", "Downhearted Blues").await;
    let lines_of_first_word =
        "const text = document.createTreeWalker(document.querySelector('#now .title'), NodeFilter.SHOW_TEXT)
        .nextNode(), word = document.createRange();
        word.setStart(text, 0); word.setEnd(text, text.data.indexOf(' '));
        return word.getClientRects().length";
    assert_eq!(projector.run(lines_of_first_word).await, 1, "a word is not broken");
    projector.close().await;
    for title in ["Dipper Mouth Blues", "West End Blues"] {
        browser.sees("#now .title", title).await;
        old.prints(&format!("pika/v1/tonight/main/now/title {title}")).await;
        new.prints(&format!("pika/v1/tonight/main/now/title {title}")).await;
    }
    browser.sees("#now .artist", "Louis Armstrong").await;
    browser.sees("#now .facts", "88 BPM").await;
    browser.sees("#history", "Downhearted Blues").await;
    assert_eq!(browser.run("return window.untouched").await, true, "the page changed by itself");
    browser.close().await;

    let history = std::fs::read_dir(folder.path().join("VirtualDJ/History")).unwrap().count();
    assert!(history > 0, "there is a real history file");
    let database = Database { url: format!("sqlite://{}", folder.path().join("pika.db").display()) };
    let titles = wait::until("three plays in the file", || async {
        let plays = database.plays().await?;
        let titles: Vec<_> = plays.into_iter().filter_map(|past| past.play.track.title).collect();
        if titles.len() == 3 { Ok(titles) } else { Err(format!("{titles:?}")) }
    })
    .await;
    assert_eq!(titles, ["Downhearted Blues", "Dipper Mouth Blues", "West End Blues"]);
}
