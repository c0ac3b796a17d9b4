//! A PostgreSQL of the test's own, that can be stopped hard and started again.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{ports, wait};

/// Ended when dropped.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// Makes a cluster in a folder that is there, and starts it.
    pub async fn start_in(folder: &Path) -> Self {
        let mut initdb = unprivileged("initdb", folder);
        initdb.args(["--username=pika", "--auth=trust", "--encoding=UTF8", "--no-locale", "--pgdata"]);
        let made = initdb.arg(folder.join("data")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self { folder: folder.to_owned(), port: ports::free(), server: None };
        postgres.start().await;
        postgres
    }

    /// `host:port`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, if it does not run, and waits until it answers.
    pub async fn start(&mut self) {
        if !self.runs() {
            let mut server = unprivileged("postgres", &self.folder);
            server.arg("-D").arg(self.folder.join("data"));
            for setting in [
                format!("port={}", self.port),
                "listen_addresses=127.0.0.1".to_owned(),
                format!("unix_socket_directories={}", self.folder.display()),
                "max_wal_size=64MB".to_owned(),
                "min_wal_size=32MB".to_owned(),
            ] {
                server.args(["-c", &setting]);
            }
            let log = File::options()
                .create(true)
                .append(true)
                .open(std::env::temp_dir().join("pika-postgres.log"));
            server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
            self.server = Some(server.spawn().unwrap());
        }
        let url = format!("postgres://pika@{}/postgres", self.address());
        wait::until("PostgreSQL to answer", || async {
            let asked = Command::new(program("psql")).args([&url, "-c", "select 1"]).output().unwrap();
            let said = String::from_utf8_lossy(&asked.stderr).into_owned();
            if asked.status.success() { Ok(()) } else { Err(said) }
        })
        .await;
    }

    /// Stops it as a power loss would: without a checkpoint, all sessions broken off.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").args(["-QUIT", &server.id().to_string()]).status();
            let _ = server.wait();
        }
    }

    fn runs(&mut self) -> bool {
        self.server.as_mut().is_some_and(|server| server.try_wait().unwrap().is_none())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// PostgreSQL refuses to run as root, so root lends it the user that the package made.
fn unprivileged(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(folder);
    let id = |arguments: &[&str]| -> u32 {
        let out = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().parse().unwrap()
    };
    if id(&["-u"]) == 0 {
        let (uid, gid) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
        chown(folder, Some(uid), Some(gid)).unwrap();
        command.uid(uid).gid(gid);
    }
    command
}

/// On the path, or where Debian puts the programs of one version.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    let versions = || fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_version =
        || versions().map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file());
    on_path.or_else(|| of_version().max()).unwrap_or_else(|| panic!("{name} is not installed"))
}
