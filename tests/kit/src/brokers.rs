//! Brokers that are not ours: real ones, each in a folder and on ports of its own, ended with the test.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::{ports, wait};

/// A login that every one of these brokers knows.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    pub name: &'static str,
    pub password: &'static str,
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    /// `host:port` of MQTT over TCP.
    pub address: String,
    folder: TempDir,
    kind: Kind,
    running: Vec<Child>,
}

#[derive(Debug)]
enum Kind {
    Mosquitto,
    Nats,
    RabbitMq { node: String, names: u16, distribution: u16 },
}

impl Broker {
    /// mosquitto with a plain listener of default rights, and more of its configuration.
    pub async fn mosquitto(more: &str) -> Self {
        let (folder, port) = (folder(), ports::free());
        // It starts as root and would then become a user that may not read the test's files.
        let config = format!("per_listener_settings true\nuser root\nlistener {port} 127.0.0.1\n{more}\n");
        fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        Self::started(folder, port, Kind::Mosquitto).await
    }

    /// nats-server with its MQTT gateway.
    pub async fn nats(logins: &[Login]) -> Self {
        let (folder, port) = (folder(), ports::free());
        let users: String = logins
            .iter()
            .map(|login| format!("    {{ user: {}, password: \"{}\" }}\n", login.name, login.password))
            .collect();
        let config = format!(
            "server_name: pika\nlisten: 127.0.0.1:{}\nmqtt {{ listen: 127.0.0.1:{port} }}\n\
             jetstream {{ store_dir: \"{}\" }}\nauthorization {{\n  users = [\n{users}  ]\n}}\n",
            ports::free(),
            folder.path().join("store").display(),
        );
        fs::write(folder.path().join("nats.conf"), config).unwrap();
        Self::started(folder, port, Kind::Nats).await
    }

    /// RabbitMQ with its MQTT plugin, as its own user when we are root.
    pub async fn rabbitmq(logins: &[Login]) -> Self {
        let (folder, port) = (folder(), ports::free());
        let path = |name: &str| folder.path().join(name);
        let users: Vec<_> = logins
            .iter()
            .map(|login| serde_json::json!({ "name": login.name, "password": login.password, "tags": "" }))
            .collect();
        let permissions: Vec<_> = logins
            .iter()
            .map(|login| {
                serde_json::json!({ "user": login.name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" })
            })
            .collect();
        let definitions = serde_json::json!({
            "vhosts": [{ "name": "/" }], "users": users, "permissions": permissions,
        });
        fs::write(path("definitions.json"), definitions.to_string()).unwrap();
        let config = format!(
            "listeners.tcp.default = 127.0.0.1:{}\nmqtt.listeners.tcp.default = 127.0.0.1:{port}\n\
             mqtt.allow_anonymous = false\nload_definitions = {}\n",
            ports::free(),
            path("definitions.json").display(),
        );
        fs::write(path("rabbitmq.conf"), config).unwrap();
        fs::write(path("enabled_plugins"), "[rabbitmq_mqtt].\n").unwrap();
        let kind = Kind::RabbitMq {
            node: format!("pika-{port}@localhost"),
            names: ports::free(),
            distribution: ports::free(),
        };
        Self::started(folder, port, kind).await
    }

    async fn started(folder: TempDir, port: u16, kind: Kind) -> Self {
        let mut broker = Self { address: format!("127.0.0.1:{port}"), folder, kind, running: Vec::new() };
        broker.start().await;
        broker
    }

    /// Its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it again after [`Broker::kill`], and waits until it listens.
    pub async fn start(&mut self) {
        let path = |name: &str| self.folder.path().join(name);
        match &self.kind {
            Kind::Mosquitto => {
                let mut command = Command::new(program("mosquitto"));
                command.arg("-c").arg(path("mosquitto.conf"));
                self.running.push(spawn(command, &path("log")));
            }
            Kind::Nats => {
                let mut command = Command::new(program("nats-server"));
                command.arg("-c").arg(path("nats.conf"));
                self.running.push(spawn(command, &path("log")));
            }
            Kind::RabbitMq { node, names, distribution } => {
                // Erlang starts a name service that outlives it, unless there is one on that port already.
                let mut epmd = Command::new(program("epmd"));
                epmd.args(["-port", &names.to_string(), "-address", "127.0.0.1"]);
                self.running.push(spawn(epmd, &path("epmd.log")));
                let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
                command
                    .env("HOME", self.folder.path())
                    .env("ERL_EPMD_PORT", names.to_string())
                    .env("RABBITMQ_NODENAME", node)
                    .env("RABBITMQ_DIST_PORT", distribution.to_string())
                    .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
                    .env("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf"))
                    .env("RABBITMQ_ADVANCED_CONFIG_FILE", path("advanced.config"))
                    .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("enabled_plugins"))
                    .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
                    .env("RABBITMQ_LOG_BASE", path("logs"))
                    .env("RABBITMQ_LOGS", "-")
                    .current_dir(self.folder.path());
                let id = |flag: &str, user: &str| -> Option<u32> {
                    let mut arguments = vec![flag];
                    arguments.extend((!user.is_empty()).then_some(user));
                    let out = Command::new("id").args(arguments).output().unwrap();
                    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
                };
                if id("-u", "") == Some(0) {
                    let (uid, gid) = (id("-u", "rabbitmq").unwrap(), id("-g", "rabbitmq").unwrap());
                    chown(self.folder.path(), Some(uid), Some(gid)).unwrap();
                    for entry in fs::read_dir(self.folder.path()).unwrap().flatten() {
                        chown(entry.path(), Some(uid), Some(gid)).unwrap();
                    }
                    command.uid(uid).gid(gid);
                }
                self.running.push(spawn(command, &path("log")));
            }
        }
        let address = self.address.clone();
        let log = path("log");
        wait::until(&format!("{:?} to listen", self.kind), || async {
            std::net::TcpStream::connect(&address)
                .map(drop)
                .map_err(|_| fs::read_to_string(&log).unwrap_or_default())
        })
        .await;
    }

    /// SIGKILL to it and all that it started.
    pub fn kill(&mut self) {
        for mut child in self.running.drain(..) {
            // The minus: the group that it leads.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _ = child.wait();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of {:?}\n{log}", self.kind);
        }
    }
}

fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("pika-broker-").tempdir().unwrap();
    // A broker may run as a user of its own.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn spawn(mut command: Command, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error} (cargo xtask test installs it)"))
}

/// Debian keeps servers off the path of those who are not root.
pub fn program(name: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    folders.push("/usr/sbin".into());
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed (cargo xtask test installs it)"))
}

/// Makes an authority and a certificate for `localhost` in `folder`: `ca.pem`, `server.pem`, `server.key`.
/// Returns the authority's file.
pub fn certificates(folder: &Path) -> PathBuf {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let done = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=test-authority -keyout ca.key -out ca.pem"));
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    folder.join("ca.pem")
}
