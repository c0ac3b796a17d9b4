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
        certificates(&folder)?;
        let mut server = unprivileged(&program("postgres")?, &folder)?;
        server.arg("-D").arg(folder.join("data"));
        for setting in [
            &format!("port={port}"),
            "listen_addresses=127.0.0.1",
            &format!("unix_socket_directories={}", folder.display()),
            "max_connections=200",
            // Whoever asks for TLS gets it, by a certificate that only `ca.pem` vouches for.
            "ssl=on",
            &format!("ssl_cert_file={}", folder.join("server.pem").display()),
            &format!("ssl_key_file={}", folder.join("server.key").display()),
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

    /// Where `ca.pem` is, which vouches for the server, and `other-ca.pem`, which does not.
    pub fn authorities(&self) -> &Path {
        &self.folder
    }

    fn wait(&self) -> anyhow::Result<()> {
        answers(&self.url, &self.folder.join("log"))
    }
}

/// A PgBouncer before that server, which lends each transaction one of few connections.
#[derive(Debug)]
pub struct PgBouncer {
    folder: PathBuf,
    server: Child,
    url: String,
}

impl PgBouncer {
    pub fn start(postgres: &Postgres) -> anyhow::Result<Self> {
        let (_, behind) = postgres.url.rsplit_once(':').context("read the port of postgres")?;
        let (behind, _) = behind.split_once('/').context("read the port of postgres")?;
        let port = free_port()?;
        let folder = std::env::temp_dir().join(format!("pika-pgbouncer-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let settings = folder.join("pgbouncer.ini");
        // Fewer connections than clients, so that each transaction may well get another one than the last.
        let text = format!(
            "[databases]\n\
             * = host=127.0.0.1 port={behind} user=pika\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = transaction\n\
             default_pool_size = 3\n\
             server_idle_timeout = 5\n\
             max_client_conn = 1000\n"
        );
        std::fs::write(&settings, text).with_context(|| format!("write {}", settings.display()))?;
        let program = tools::find("pgbouncer").context("pgbouncer is not installed")?;
        let log = folder.join("log");
        let server = unprivileged(&program, &folder)?
            .arg("--quiet")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).context("make the log of pgbouncer")?)
            .spawn()
            .context("start pgbouncer")?;
        let pgbouncer = Self { url: format!("postgres://pika@127.0.0.1:{port}/postgres"), folder, server };
        answers(&pgbouncer.url, &log)?;
        Ok(pgbouncer)
    }

    /// Of the maintenance database; any other of the server goes by the same port.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until there is somebody at the URL.
fn answers(url: &str, log: &Path) -> anyhow::Result<()> {
    let psql = tools::find("psql").context("psql is not installed")?;
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(30) {
        let asked = Command::new(&psql).args([url, "-c", "select 1"]).output().context("run psql")?;
        if asked.status.success() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("{url} did not answer within 30 s: {}", std::fs::read_to_string(log).unwrap_or_default())
}

/// Two authorities, and the server's certificate from the first.
fn certificates(folder: &Path) -> anyhow::Result<()> {
    let openssl = tools::find("openssl").context("openssl is not installed")?;
    let server: &[&str] = &[
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ];
    for (name, more) in [("ca", &[][..]), ("other-ca", &[]), ("server", server)] {
        let mut make = unprivileged(&openssl, folder)?;
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]);
        make.args(["-days", "2", "-subj", &format!("/CN=Pika test {name}")]);
        make.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
        let made = make.args(more).output().context("run openssl")?;
        if !made.status.success() {
            bail!("openssl failed: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    Ok(())
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
