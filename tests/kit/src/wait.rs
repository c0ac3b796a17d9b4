//! Waiting for a condition, never for a duration.

use std::time::{Duration, Instant};

/// Long enough for a busy machine; a condition that holds ends the wait at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], naming what was waited for and what was seen last.
pub async fn until<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let since = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(seen) if since.elapsed() > PATIENCE => panic!("waited in vain for {what}; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The same for something that is asked without waiting.
pub async fn until_some<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until(what, || {
        let answer = ask().ok_or_else(|| "nothing".to_owned());
        async move { answer }
    })
    .await
}

/// Lets a moment pass where the moment itself is what the test needs: a file's next whole second, a kill at
/// any point of a run. Nothing may depend on its length.
pub async fn moment(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
