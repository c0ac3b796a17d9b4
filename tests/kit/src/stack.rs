//! docker/compose.yaml without an engine: its own settings, as docker-compose reads them, for the same programs. Each service is a
//! process in a network namespace and a root folder of its own, so that names, addresses, ports, paths, users and volumes are those of
//! the file. Needs root.
//!
//! What an engine would add and this does not: images (the executable is that of the tests, Caddy is the release that the file names,
//! PostgreSQL is Debian's), limits of memory, and capabilities.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::{Program, process, wait};

/// The domain of the stack under test.
pub const DOMAIN: &str = "pika.test";

/// Where dancers and DJs are, and Caddy's address there: addresses for documentation, which lead nowhere else.
const OUTSIDE: &str = "203.0.113.0/24";
const ENTRANCE: &str = "203.0.113.1";

/// The user in the image.
const USER: u32 = 10001;

/// Running services; all gone when dropped.
#[derive(Debug)]
pub struct Stack {
    folder: PathBuf,
    config: Value,
    networks: Networks,
    running: BTreeMap<String, Program>,
}

impl Stack {
    /// Prepares a copy of docker/ as its operator would, and starts every service when those are well that it depends on.
    pub async fn up(folder: &Path) -> Self {
        // The database runs as a user of its own.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let docker = folder.join("docker");
        copy_folder(&repository().join("docker"), &docker);
        let example = fs::read_to_string(docker.join(".env.example")).unwrap();
        let filled = example
            .replace("DOMAIN=example.org", &format!("DOMAIN={DOMAIN}"))
            .replace("# CADDY_OPTIONS=local_certs", "CADDY_OPTIONS=local_certs");
        assert!(filled.contains(DOMAIN) && filled.contains("\nCADDY_OPTIONS="), "{filled}");
        fs::write(docker.join(".env"), filled).unwrap();
        // Twice, since an operator may.
        for _ in 0..2 {
            let prepared = Command::new(docker.join("prepare.sh")).output().unwrap();
            assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        }
        let config = compose_config(&docker, "compose.yaml");
        let networks = Networks::make(&config, folder);
        let mut stack = Self { folder: folder.to_owned(), config, networks, running: BTreeMap::new() };
        for service in stack.order() {
            stack.start(&service).await;
        }
        stack
    }

    /// Services that start by themselves, each after those it depends on.
    fn order(&self) -> Vec<String> {
        let services = self.config["services"].as_object().unwrap();
        let mut waiting: Vec<&String> = services
            .iter()
            .filter(|(_, service)| service["profiles"].is_null())
            .map(|(name, _)| name)
            .collect();
        let mut order: Vec<String> = Vec::new();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|name| {
                let needs = services[*name]["depends_on"].as_object();
                let ready = needs.is_none_or(|needs| needs.keys().all(|need| order.contains(need)));
                if ready {
                    order.push((*name).clone());
                }
                !ready
            });
            assert!(waiting.len() < before, "services wait for each other: {waiting:?}");
        }
        order
    }

    /// Starts a service, once what it depends on is as it wants it.
    pub async fn start(&mut self, service: &str) {
        let needs = self.service(service)["depends_on"].as_object().cloned().unwrap_or_default();
        for (need, how) in &needs {
            match how["condition"].as_str().unwrap() {
                "service_healthy" => self.is_healthy(need).await,
                "service_completed_successfully" => {
                    let ended = self.running.get_mut(need).unwrap().ended().await;
                    assert!(ended.success(), "{need}: {}", self.running[need].log());
                }
                other => panic!("{service} waits for {other}"),
            }
        }
        let command = match service {
            "postgres" => self.postgres(),
            _ => self.command(service, None),
        };
        let program = Program::start(command, &self.folder.join("logs"), service);
        self.running.insert(service.to_owned(), program);
    }

    /// The service's own check, within it, until it is content.
    pub async fn is_healthy(&self, service: &str) {
        let check = self.service(service)["healthcheck"]["test"].as_array().unwrap().clone();
        let words: Vec<&str> = check.iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words[0], "CMD");
        let program = &self.running[service];
        wait::until(&format!("{service} to be healthy"), || async {
            let mut command = Command::new("nsenter");
            command.args(["--target", &program.pid().to_string(), "--mount", "--net", "--root", "--wd"]);
            if service != "postgres" {
                command.args(["--setuid", &USER.to_string(), "--setgid", &USER.to_string()]);
            }
            command.arg("--").args(&words[1..]).env_clear().envs(self.environment(service));
            let said = command.output().unwrap();
            let text = format!("{}\n{}", String::from_utf8_lossy(&said.stderr), program.log());
            if said.status.success() { Ok(()) } else { Err(text) }
        })
        .await;
    }

    /// SIGTERM, as `docker compose stop` sends it.
    pub async fn stop(&mut self, service: &str) -> ExitStatus {
        self.running.get_mut(service).unwrap().stop().await
    }

    /// A command in a service of its own, as `docker compose run --rm SERVICE …`; without words, the service's own.
    pub fn run(&self, service: &str, words: &[&str]) -> Output {
        let words = (!words.is_empty()).then_some(words);
        self.command(service, words).output().unwrap()
    }

    /// The same command on a machine outside, such as a dancer's phone.
    pub fn outside(&self, machine: &str, command: &Command) -> Command {
        self.networks.inside(machine, command)
    }

    /// A program that runs another one on a machine outside, with these arguments and whatever it is given.
    pub fn program_outside(&self, machine: &str, words: &str) -> PathBuf {
        let path = self.folder.join(format!("on-{machine}"));
        let namespace = &self.networks.namespaces[machine];
        fs::write(&path, format!("#!/bin/sh\nexec ip netns exec {namespace} {words} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// The authority that vouches for Caddy's certificates here.
    pub fn authority(&self) -> PathBuf {
        self.volume("caddy").join("caddy/pki/authorities/local/root.crt")
    }

    pub fn log(&self, service: &str) -> String {
        self.running[service].log()
    }

    /// Where a volume's files are.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.folder.join("volumes").join(name)
    }

    /// The copy of docker/.
    pub fn docker(&self) -> PathBuf {
        self.folder.join("docker")
    }

    fn service(&self, name: &str) -> &Value {
        &self.config["services"][name]
    }

    fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let mut environment = image_environment(self.service(service));
        for (name, value) in self.service(service)["environment"].as_object().into_iter().flatten() {
            environment.insert(name.clone(), text(value));
        }
        let tools = crate::postgres::program("pg_dump");
        let tools = tools.parent().unwrap().display();
        environment.insert("PATH".to_owned(), format!("{tools}:/usr/sbin:/usr/bin:/sbin:/bin"));
        environment
    }

    /// What is where in the service's file system: place outside, place inside.
    fn mounts(&self, service: &str) -> Vec<(PathBuf, String)> {
        let mut mounts = Vec::new();
        for volume in self.service(service)["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap();
            let (source, rest) = volume.split_once(':').unwrap();
            let target = rest.split(':').next().unwrap();
            let source = match source.starts_with('/') {
                true => PathBuf::from(source),
                false => {
                    let folder = self.volume(source);
                    if !folder.exists() {
                        fs::create_dir_all(&folder).unwrap();
                        // A new volume belongs to whom the image gives the place.
                        if is_ours(self.service(service)) {
                            chown(&folder, Some(USER), Some(USER)).unwrap();
                        }
                        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
                    }
                    folder
                }
            };
            mounts.push((source, target.to_owned()));
        }
        for secret in self.service(service)["secrets"].as_array().into_iter().flatten() {
            let name = secret["source"].as_str().unwrap();
            let file = self.config["secrets"][name]["file"].as_str().unwrap();
            mounts.push((file.into(), format!("/run/secrets/{name}")));
        }
        mounts
    }

    /// A service of the file, or another command in its place.
    fn command(&self, service: &str, words: Option<&[&str]>) -> Command {
        let definition = self.service(service);
        let own: Vec<&str> = definition["command"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap())
            .collect();
        let words = words.unwrap_or(&own);
        let root = self.folder.join("roots").join(service);
        fs::create_dir_all(&root).unwrap();
        let (mut mounts, mut script) =
            (self.mounts(service), String::from("set -eu\nmount --make-rprivate /\n"));
        let program: &[&str] = match is_ours(definition) {
            true => {
                mounts.push((process::executable(), "/usr/bin/pika".to_owned()));
                &["/usr/bin/pika"]
            }
            false => {
                mounts.push((caddy(), "/usr/bin/caddy".to_owned()));
                &["/usr/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
            }
        };
        let shown = root.display();
        script += &format!("mount -t tmpfs -o mode=755 tmpfs '{shown}'\n");
        // The executable of the tests needs libraries, the one in the image does not. `pg_dump` is in one of the images.
        let mut of_host = vec!["/proc", "/dev", "/lib", "/lib64", "/usr/lib"];
        if service == "backup" {
            of_host.extend(["/usr/bin", "/usr/share", "/bin"]);
            let (_, place) = mounts.last_mut().unwrap();
            *place = "/opt/pika".to_owned();
        }
        for folder in of_host.iter().filter(|folder| Path::new(folder).exists()) {
            script += &format!("mkdir -p '{shown}{folder}'\nmount --rbind {folder} '{shown}{folder}'\n");
        }
        let etc = self.folder.join("etc");
        mounts.push((etc.join(service), "/etc/hosts".to_owned()));
        mounts.push((etc.join("passwd"), "/etc/passwd".to_owned()));
        mounts.push(("/etc/ssl".into(), "/etc/ssl".to_owned()));
        for (source, target) in &mounts {
            let made = match source.is_dir() {
                true => format!("mkdir -p '{shown}{target}'"),
                false => format!("mkdir -p \"$(dirname '{shown}{target}')\"\ntouch '{shown}{target}'"),
            };
            script += &format!("{made}\nmount --bind '{}' '{shown}{target}'\n", source.display());
        }
        for place in definition["tmpfs"].as_array().into_iter().flatten() {
            let place = place.as_str().unwrap();
            let (place, options) = place.split_once(':').unwrap_or((place, "mode=1777"));
            script +=
                &format!("mkdir -p '{shown}{place}'\nmount -t tmpfs -o {options} tmpfs '{shown}{place}'\n");
        }
        if definition["read_only"] == json!(true) {
            script += &format!("mount -o remount,ro '{shown}'\n");
        }
        let user = if is_ours(definition) { USER } else { 0 };
        let program = if service == "backup" { &["/opt/pika"] } else { program };
        script += &format!("exec chroot --userspec={user}:{user} '{shown}' \"$@\"\n");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, service]).args(program).args(words);
        let mut command = self.networks.inside(service, &command);
        command.env_clear().envs(self.environment(service)).stdin(Stdio::null());
        command
    }

    /// What the image of PostgreSQL does with the same variables: a cluster with that user, password and database.
    fn postgres(&self) -> Command {
        let environment = self.environment("postgres");
        let mounts = self.mounts("postgres");
        let outside = |inside: &str| {
            let found = mounts.iter().find(|(_, target)| target == inside);
            found.unwrap_or_else(|| panic!("nothing is mounted at {inside}")).0.clone()
        };
        let data = outside("/var/lib/postgresql/data");
        let password = fs::read(outside(&environment["POSTGRES_PASSWORD_FILE"])).unwrap();
        let (user, database) = (&environment["POSTGRES_USER"], &environment["POSTGRES_DB"]);
        let home = self.folder.join("postgres");
        let password_file = home.join("password");
        let id = |flag: &str| -> u32 {
            let out = Command::new("id").args([flag, "postgres"]).output().unwrap();
            String::from_utf8_lossy(&out.stdout).trim().parse().unwrap()
        };
        let (uid, gid) = (id("-u"), id("-g"));
        let as_postgres = |program: &str| {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
            command.arg(crate::postgres::program(program)).current_dir(&home);
            command
        };
        if !data.join("PG_VERSION").exists() {
            fs::create_dir_all(&home).unwrap();
            fs::write(&password_file, password).unwrap();
            for path in [&home, &password_file, &data] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
            // The postgres user has to get there.
            fs::set_permissions(data.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
            let mut initdb = as_postgres("initdb");
            initdb.arg(format!("--username={user}")).arg(format!("--pwfile={}", password_file.display()));
            initdb.args(["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--pgdata"]).arg(&data);
            let made = initdb.output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let mut rules = fs::read_to_string(data.join("pg_hba.conf")).unwrap();
            rules += "\nhost all all all scram-sha-256\n";
            fs::write(data.join("pg_hba.conf"), rules).unwrap();
            if database != user {
                panic!("the database `{database}` would have to be made");
            }
            let single = as_postgres("postgres")
                .args(["--single", "-D"])
                .arg(&data)
                .arg("postgres")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn();
            let mut single = single.unwrap();
            let create = format!("create database {database} owner {user}\n");
            std::io::Write::write_all(&mut single.stdin.take().unwrap(), create.as_bytes()).unwrap();
            assert!(single.wait().unwrap().success());
        }
        let mut server = as_postgres("postgres");
        server.arg("-D").arg(&data).args(["-c", "listen_addresses=*"]);
        server.args(["-c", &format!("unix_socket_directories={}", home.display())]);
        for word in self.service("postgres")["command"].as_array().unwrap() {
            server.arg(word.as_str().unwrap());
        }
        let folder = server.get_current_dir().unwrap().to_owned();
        let mut inside = self.networks.inside("postgres", &server);
        inside.current_dir(folder).stdin(Stdio::null());
        inside
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (service, program) in &self.running {
                eprintln!("--- {service}\n{}", program.log());
            }
        }
        // Before their networks.
        self.running.clear();
    }
}

/// What docker-compose makes of a file, with the variables of the `.env` beside it.
///
/// # Panics
/// It does not accept the file.
pub fn compose_config(folder: &Path, file: &str) -> Value {
    let mut compose = Command::new("docker-compose");
    compose.current_dir(folder).args(["--file", file, "config"]);
    for name in ["DOMAIN", "EVENT", "EVENT_NAME", "TIME_ZONE", "FLOORS", "PIKA_VERSION", "CADDY_OPTIONS"] {
        compose.env_remove(name);
    }
    let read = compose.output().expect("docker-compose is there (cargo xtask test installs it)");
    assert!(read.status.success(), "{file}: {}", String::from_utf8_lossy(&read.stderr));
    yaml(&String::from_utf8(read.stdout).unwrap())
}

/// YAML as Python reads it.
pub fn yaml(text: &str) -> Value {
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let mut python = Command::new("python3");
    python.args(["-c", script]).env("PYTHONPATH", clients().join("python"));
    let mut python = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let read = python.wait_with_output().unwrap();
    assert!(read.status.success(), "no YAML: {text}");
    serde_json::from_slice(&read.stdout).unwrap()
}

/// The workspace's folder.
pub fn repository() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn clients() -> PathBuf {
    let folder = std::env::var_os("PIKA_TEST_CLIENTS");
    folder
        .expect("PIKA_TEST_CLIENTS is not set: run the tests by `cargo xtask test`, which installs them")
        .into()
}

/// Caddy, in the release that compose.yaml names.
pub fn caddy() -> PathBuf {
    clients().join("python/bin/caddy")
}

/// Built from our Dockerfile.
fn is_ours(service: &Value) -> bool {
    !service["build"].is_null()
}

/// What the image itself sets.
fn image_environment(service: &Value) -> BTreeMap<String, String> {
    if !is_ours(service) {
        // The image of Caddy says where its volumes are.
        let caddy = [("XDG_CONFIG_HOME", "/config"), ("XDG_DATA_HOME", "/data")];
        return caddy.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    }
    let dockerfile = fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
    let (_, last) = dockerfile.rsplit_once("\nFROM ").unwrap();
    assert!(
        last.contains("\nENTRYPOINT [\"/usr/bin/pika\"]\n")
            && last.contains(&format!("\nUSER {USER}:{USER}\n"))
    );
    let variables = last.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The file may write a number or a truth without quotes.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A namespace for each service and for each machine outside, and a switch between them for each network.
#[derive(Debug)]
struct Networks {
    namespaces: BTreeMap<String, String>,
    switch: String,
}

impl Networks {
    fn make(config: &Value, folder: &Path) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("pks{}-{number}-{end}", std::process::id());
        let mut networks = Self { namespaces: BTreeMap::new(), switch: name("switch") };
        ip(&["netns", "add", &networks.switch]);
        let services = config["services"].as_object().unwrap();
        for machine in services.keys().map(String::as_str).chain(["dancer", "neighbour", "laptop"]) {
            let namespace = name(machine);
            ip(&["netns", "add", &namespace]);
            ip(&["-n", &namespace, "link", "set", "lo", "up"]);
            networks.namespaces.insert(machine.to_owned(), namespace);
        }
        let mut addresses: Vec<(&String, &String, String)> = Vec::new();
        for (at, (network, definition)) in config["networks"].as_object().unwrap().iter().enumerate() {
            let subnet = definition["ipam"]["config"][0]["subnet"].as_str();
            let subnet = subnet.map_or_else(|| format!("10.78.{at}.0/24"), str::to_owned);
            ip(&["-n", &networks.switch, "link", "add", network, "type", "bridge"]);
            ip(&["-n", &networks.switch, "link", "set", network, "up"]);
            let mut free = 3;
            for (service, its) in services {
                let Some(wanted) = its["networks"].get(network) else { continue };
                let address = match wanted["ipv4_address"].as_str() {
                    Some(address) => address.to_owned(),
                    None => {
                        free += 1;
                        host_of(&subnet, free - 1)
                    }
                };
                networks.plug(service, network, &address, &subnet);
                addresses.push((network, service, address));
            }
        }
        fs::create_dir_all(folder.join("etc")).unwrap();
        // Each knows those that are in a network with it, as an engine's names do.
        for service in services.keys() {
            let mut hosts = String::from("127.0.0.1 localhost\n");
            for (network, name, address) in &addresses {
                if addresses.iter().any(|(with, its, _)| with == network && *its == service) {
                    hosts += &format!("{address} {name}\n");
                }
            }
            fs::write(folder.join("etc").join(service), hosts).unwrap();
        }
        let passwd = format!("root:x:0:0::/:/bin/sh\npika:x:{USER}:{USER}::/data:/bin/sh\n");
        fs::write(folder.join("etc/passwd"), passwd).unwrap();
        networks.outside();
        networks
    }

    /// The Internet: Caddy's ports are open there, and nothing else is.
    fn outside(&self) {
        ip(&["-n", &self.switch, "link", "add", "outside", "type", "bridge"]);
        ip(&["-n", &self.switch, "link", "set", "outside", "up"]);
        self.plug("caddy", "outside", ENTRANCE, OUTSIDE);
        for (machine, number) in [("dancer", 10), ("neighbour", 11), ("laptop", 20)] {
            self.plug(machine, "outside", &host_of(OUTSIDE, number), OUTSIDE);
            // What `ip netns exec` puts in the place of the machine's own file.
            let etc = self.etc(machine);
            fs::create_dir_all(&etc).unwrap();
            let hosts = format!("127.0.0.1 localhost\n{ENTRANCE} app.{DOMAIN} api.{DOMAIN}\n");
            fs::write(etc.join("hosts"), hosts).unwrap();
        }
    }

    fn etc(&self, machine: &str) -> PathBuf {
        Path::new("/etc/netns").join(&self.namespaces[machine])
    }

    /// A cable from a machine to a switch.
    fn plug(&self, machine: &str, network: &str, address: &str, subnet: &str) {
        static CABLE: AtomicU32 = AtomicU32::new(0);
        // Names of interfaces have 15 letters at most.
        let port = format!("p{}", CABLE.fetch_add(1, Ordering::Relaxed));
        let (namespace, switch) = (&*self.namespaces[machine], &*self.switch);
        let (_, bits) = subnet.split_once('/').unwrap();
        ip(&[
            "-n", namespace, "link", "add", network, "type", "veth", "peer", "name", &port, "netns", switch,
        ]);
        ip(&["-n", namespace, "address", "add", &format!("{address}/{bits}"), "dev", network]);
        ip(&["-n", namespace, "link", "set", network, "up"]);
        ip(&["-n", switch, "link", "set", &port, "master", network, "up"]);
    }

    fn inside(&self, machine: &str, command: &Command) -> Command {
        crate::venue::inside(&self.namespaces[machine], command)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for (machine, namespace) in &self.namespaces {
            let _ = fs::remove_dir_all(self.etc(machine));
            let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.switch]).status();
    }
}

/// The address of that number in a network.
fn host_of(subnet: &str, number: u32) -> String {
    let (base, _) = subnet.split_once('/').unwrap();
    let base: Ipv4Addr = base.parse().unwrap();
    Ipv4Addr::from_bits(base.to_bits() + number).to_string()
}

fn ip(arguments: &[&str]) {
    crate::venue::ip(arguments);
}
