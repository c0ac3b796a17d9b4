//! Where the token for a server is kept: in the keyring of the desktop, or in a file that this user alone can read where there is
//! none.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use config::Secret;
use config::secret::write_private;
use keyring::v1::Entry;

const FILE: &str = "server.token";
/// What its entries are called in the keyring.
const SERVICE: &str = "Pika";
/// A keyring that is locked asks the DJ for its password.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// Where a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    InKeyring,
    InFile,
}

/// Keeps the token for the server that this data folder's desk plays at.
///
/// # Errors
/// There is no keyring, and the file cannot be written.
pub fn keep(data: &Path, token: &Secret) -> anyhow::Result<Kept> {
    let written = token.clone();
    let kept = in_keyring(data, move |entry| {
        entry.set_password(written.reveal())?;
        // Some take everything and keep nothing.
        entry.get_password().map(|read| read == written.reveal())
    });
    match kept {
        Ok(true) => {
            // What a former version, or a time without a keyring, has left.
            let _ = std::fs::remove_file(file(data));
            return Ok(Kept::InKeyring);
        }
        Ok(false) => tracing::warn!("the keyring does not keep what it is given"),
        Err(error) => tracing::debug!("no keyring here: {error:#}"),
    }
    write_private(&file(data), token.reveal())?;
    tracing::info!("the token is in {}, which only you can read: there is no keyring", file(data).display());
    Ok(Kept::InFile)
}

/// The token that is kept in the keyring.
///
/// # Errors
/// The keyring does not answer, or the user keeps it locked.
pub fn from_keyring(data: &Path) -> anyhow::Result<Option<Secret>> {
    let read = in_keyring(data, |entry| match entry.get_password() {
        Ok(token) => Ok(Some(Secret::new(token))),
        Err(keyring::v1::Error::NoEntry) => Ok(None),
        Err(error) => Err(error),
    });
    read.context("read the server's token in the keyring")
}

/// The token that is kept in the file.
///
/// # Errors
/// There is a file that cannot be read.
pub fn from_file(data: &Path) -> anyhow::Result<Option<Secret>> {
    let path = file(data);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Secret::new(text.trim())).filter(|token| !token.reveal().is_empty())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read the token in {}", path.display())),
    }
}

fn file(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Asks the keyring on a thread of its own: it speaks to a desktop that may take its time, or wait for its user.
fn in_keyring<T: Send + 'static>(
    data: &Path,
    ask: impl FnOnce(&Entry) -> keyring::v1::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let user = data.display().to_string();
    let (answer, answered) = mpsc::sync_channel(1);
    let asking = move || {
        // Nobody waits any more when it takes too long.
        let _ = answer.send(Entry::new(SERVICE, &user).and_then(|entry| ask(&entry)));
    };
    std::thread::Builder::new().name("keyring".to_owned()).spawn(asking).context("start a thread")?;
    let answered = answered.recv_timeout(ANSWERED_WITHIN);
    Ok(answered.with_context(|| format!("the keyring has not answered within {ANSWERED_WITHIN:?}"))??)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        assert!(from_file(dir.path()).expect("nothing is wrong").is_none());
        write_private(&file(dir.path()), "secret\n").expect("written");
        let mode = std::fs::metadata(file(dir.path())).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = from_file(dir.path()).expect("read");
        assert_eq!(read.as_ref().map(Secret::reveal), Some("secret"));
    }
}
