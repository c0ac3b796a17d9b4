//! Servers that tests and benchmarks use, started for one run and gone after it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::tools;

/// A PostgreSQL cluster of our own in a temporary folder, on a free port of the loopback.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    server: Child,
    url: String,
}

impl Postgres {
    /// Makes the cluster and waits until it answers.
    pub fn start() -> anyhow::Result<Self> {
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("pika-postgres-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let program = |name: &str| tools::find(name).with_context(|| format!("{name} is not installed"));
        let mut initdb = unprivileged(&program("initdb")?, &folder)?;
        initdb.args([
            "--username=pika",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--pgdata",
        ]);
        let made = initdb.arg(folder.join("data")).output().context("run initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut server = unprivileged(&program("postgres")?, &folder)?;
        server.arg("-D").arg(folder.join("data"));
        for setting in [
            &format!("port={port}"),
            "listen_addresses=127.0.0.1",
            &format!("unix_socket_directories={}", folder.display()),
            "max_connections=200",
            // It lives for one run; what is under test is our side of a commit.
            "fsync=off",
        ] {
            server.args(["-c", setting]);
        }
        let log = std::fs::File::create(folder.join("log")).context("make the server's log")?;
        let server = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start postgres")?;
        let postgres = Self { url: format!("postgres://pika@127.0.0.1:{port}/postgres"), folder, server };
        postgres.wait()?;
        Ok(postgres)
    }

    /// Of the maintenance database; tests make databases of their own.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn wait(&self) -> anyhow::Result<()> {
        let psql = tools::find("psql").context("psql is not installed")?;
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(30) {
            let asked =
                Command::new(&psql).args([&self.url, "-c", "select 1"]).output().context("run psql")?;
            if asked.status.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        bail!("postgres did not answer within 30 s: {log}")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// PostgreSQL refuses to run as root, so root lends it the user that the package made.
fn unprivileged(program: &Path, folder: &Path) -> anyhow::Result<Command> {
    use std::os::unix::process::CommandExt;
    let id = |flags: &[&str]| -> anyhow::Result<u32> {
        let out = Command::new("id").args(flags).output().context("run id")?;
        String::from_utf8_lossy(&out.stdout).trim().parse().with_context(|| format!("id {}", flags.join(" ")))
    };
    let mut command = Command::new(program);
    // Its own folder: the user may not be allowed to be where we are.
    command.current_dir(folder);
    if id(&["-u"])? == 0 {
        let (uid, gid) = (id(&["-u", "postgres"])?, id(&["-g", "postgres"])?);
        std::os::unix::fs::chown(folder, Some(uid), Some(gid)).context("lend the folder to postgres")?;
        command.uid(uid).gid(gid);
    }
    Ok(command)
}

/// A free port below the range from which systems take ports for outgoing connections, so that nothing comes
/// in between.
fn free_port() -> anyhow::Result<u16> {
    let begin = std::process::id() % 1_000;
    let ports = (0..1_000).map(|n| 11_000 + (begin + n) % 1_000).filter_map(|port| u16::try_from(port).ok());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.into_iter().find(free).context("find a free port")
}
