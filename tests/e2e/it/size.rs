//! The weight of the first load. (Memory and executable are measured by `cargo xtask bench size`.)

use kit::{Database, Dj};

use crate::road::up;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_load_is_under_30_kb_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let mut dj = Dj::new(folder.path());
    let pika = up(folder.path(), &Database::sqlite(folder.path()), &dj, &[]).await;
    for title in ["One", "Two", "Three"] {
        dj.plays(title);
        pika.shows(title).await;
    }
    let page = pika.page().await;
    let files = page.split('"').filter(|part| part.starts_with("/assets/"));
    let mut bytes = 0;
    let mut count = 0;
    for path in std::iter::once("/e/tonight/main").chain(files) {
        let answer = kit::http::get_with(&pika.web, path, &[("Accept-Encoding", "gzip")]).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        bytes += answer.body.len();
        count += 1;
    }
    println!("{count} files, {bytes} bytes");
    assert!(count >= 4 && bytes < 30_000, "{count} files, {bytes} bytes");
}
