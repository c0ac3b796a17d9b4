//! What docker/ and the packages hold for operators: the server's compose file as a running system, and whether every file says only
//! what Pika and the systems it is for understand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kit::stack::{DOMAIN, Stack, caddy, compose_config, repository};
use kit::{Browser, Dj, Program, process, wait};
use serde_json::Value;

use crate::accounts::{adds_desk, logs_in};

/// `curl` on a machine outside: what it printed, the header lines of the answer first.
fn curl(stack: &Stack, machine: &str, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert"]);
    command.arg(stack.authority()).args(words);
    let answer = stack.outside(machine, &command).output().unwrap();
    match answer.status.success() {
        true => Ok(String::from_utf8_lossy(&answer.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&answer.stderr).into_owned()),
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// From an empty server to a dancer's page: HTTPS and WSS through Caddy, PostgreSQL, and every program by itself; then an upgrade,
/// one service at a time, while the page is open.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_from_setup_to_a_dancers_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut stack = Stack::up(folder.path()).await;
    wait::until("the lobby over HTTPS", || async {
        let answer = curl(&stack, "dancer", &[&format!("https://app.{DOMAIN}/join")])?;
        if status(&answer) == 200 { Ok(()) } else { Err(answer) }
    })
    .await;

    // The operator makes an organizer, who logs in at home and lets a DJ in, who is elsewhere.
    let password = done(&stack.run("setup", &["person", "add", "ada", "--role", "organizer"]));
    let password = password.trim().lines().last().unwrap();
    let chromium = stack.program_outside("neighbour", "chromium --ignore-certificate-errors");
    let ada = Browser::open_by(1100, 1000, &chromium).await;
    ada.goto(&format!("https://app.{DOMAIN}/join")).await;
    ada.clicks("footer a[href='/admin']").await;
    logs_in(&ada, "ada", password).await;
    ada.sees("main h2", "TONIGHT").await;
    let token = adds_desk(&ada, &format!("https://app.{DOMAIN}"), "booth").await;
    let token = token.as_str();
    ada.close().await;
    let mut dj = Dj::new(folder.path());
    let data = folder.path().join("laptop");
    let mut publisher = process::publisher(&data, &dj.home);
    publisher.args(["--server", &format!("wss://booth:{token}@api.{DOMAIN}/ws")]);
    publisher.env("PIKA__EVENT__ID", "tonight").env("SSL_CERT_FILE", stack.authority());
    let _publisher = Program::start(stack.outside("laptop", &publisher), &data, "publisher");

    let chromium = stack.program_outside("dancer", "chromium --ignore-certificate-errors");
    let phone = Browser::open_by(412, 900, &chromium).await;
    phone.goto(&format!("https://app.{DOMAIN}/")).await;
    dj.plays("Glass Tide");
    phone.sees("#now .title", "Glass Tide").await;
    let secure = phone.run("return [isSecureContext, location.protocol]").await;
    assert_eq!(secure, serde_json::json!([true, "https:"]));
    // The socket is open, and the page does not merely ask now and then.
    wait::until("the page's WebSocket to be counted", || async {
        let path = format!("https://api.{DOMAIN}/api/v1/tonight/main/reactions");
        let answer = curl(&stack, "neighbour", &[&path])?;
        if answer.contains("\"listeners\":1") { Ok(()) } else { Err(answer) }
    })
    .await;

    let page = curl(&stack, "dancer", &[&format!("https://app.{DOMAIN}/e/tonight/main")]).unwrap();
    assert!(page.contains("strict-transport-security: max-age="), "{page}");
    assert!(page.contains("__Host-"), "cookies know that the page came over HTTPS: {page}");
    let plain = curl(&stack, "dancer", &[&format!("http://app.{DOMAIN}/e/tonight/main")]).unwrap();
    assert!(status(&plain) == 308 && plain.contains(&format!("https://app.{DOMAIN}/")), "{plain}");
    let now = curl(&stack, "neighbour", &[&format!("https://api.{DOMAIN}/api/v1/tonight/main/now")]).unwrap();
    assert!(status(&now) == 200 && now.contains("Glass Tide"), "{now}");
    for nowhere in ["/", "/dj", "/metrics", "/e/tonight/main"] {
        let answer = curl(&stack, "neighbour", &[&format!("https://api.{DOMAIN}{nowhere}")]).unwrap();
        assert_eq!(status(&answer), 404, "{nowhere}");
    }

    // As docker/upgrade.sh does it.
    done(&stack.run("backup", &[]));
    let backups = names(&stack.docker().join("backups"));
    assert!(matches!(&backups[..], [one] if one.ends_with(".pgdump")), "{backups:?}");
    let logins = || fs::read(stack.volume("logins").join("webapp.url")).unwrap();
    let before = logins();
    done(&stack.run("setup", &[]));
    assert_eq!(before, logins(), "a second setup changes no login");
    for service in ["broker", "archiver", "webapp"] {
        assert!(stack.stop(service).await.success(), "{service} stops cleanly");
        dj.plays(&format!("While the {service} is away"));
        stack.start(service).await;
        stack.is_healthy(service).await;
    }
    phone.sees("#now .title", "While the webapp is away").await;
    phone.sees("#history", "While the archiver is away").await;
    phone.sees("#history", "While the broker is away").await;
    phone.close().await;

    // What nobody outside may find in a log.
    for service in ["setup", "broker", "archiver", "webapp", "caddy", "postgres"] {
        let log = stack.log(service);
        assert!(!log.contains(token), "{service} logs a token");
        assert!(!log.contains(password), "{service} logs a person's password");
        let password = fs::read_to_string(stack.docker().join("secrets/postgres_password")).unwrap();
        assert!(!log.contains(&password), "{service} logs the password");
    }
}

/// Whoever stands behind Caddy is who Caddy says, whatever a client says of itself.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_hides_behind_a_forwarded_address() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::up(folder.path()).await;
    wait::until("pages", || async {
        let answer = curl(&stack, "dancer", &[&format!("https://app.{DOMAIN}/join")])?;
        if status(&answer) == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    let guess = |machine: &str, number: u32| {
        let header = format!("X-Forwarded-For: 198.51.100.{number}");
        let real = format!("X-Real-IP: 198.51.100.{number}");
        let form = format!("name=somebody-{machine}-{number}&token=guess");
        let url = format!("https://app.{DOMAIN}/dj/login");
        status(
            &curl(&stack, machine, &["--header", &header, "--header", &real, "--data", &form, &url]).unwrap(),
        )
    };
    for number in 0..5 {
        assert_ne!(guess("dancer", number), 429, "try {number}");
    }
    assert_eq!(guess("dancer", 5), 429, "six tries, each said to be from another address");
    assert_ne!(guess("neighbour", 0), 429, "another address has tries of its own");
}

/// A login in a file that is no longer in force is replaced, and the lost one does not get in the way.
#[test]
fn setup_makes_logins_once_and_again_when_they_are_lost() {
    let folder = tempfile::tempdir().unwrap();
    let logins = folder.path().join("logins");
    let setup = |more: &[(&str, &str)]| {
        let mut setup = process::command(folder.path());
        setup.args(["setup", "--broker", "mqtt://broker:1883", "--logins"]).arg(&logins);
        done(&setup.envs(more.iter().copied()).output().unwrap());
        ["archiver", "webapp"].map(|name| fs::read_to_string(logins.join(format!("{name}.url"))).unwrap())
    };
    let first = setup(&[]);
    assert!(first[0].starts_with("mqtt://archiver:") && first[0].ends_with("@broker:1883\n"), "{first:?}");
    assert!(first[1].starts_with("mqtt://webapp:"), "{first:?}");
    assert_eq!(setup(&[]), first);
    fs::remove_file(logins.join("archiver.url")).unwrap();
    let second = setup(&[]);
    assert!(second[0].starts_with("mqtt://archiver-2:"), "{second:?}");
    assert_eq!(second[1], first[1]);
    done(&process::command(folder.path()).args(["token", "revoke", "webapp"]).output().unwrap());
    assert!(setup(&[])[1].starts_with("mqtt://webapp-2:"));
    // Logins are for one event.
    assert!(setup(&[("PIKA__EVENT__ID", "tomorrow")])[1].starts_with("mqtt://webapp-3:"));
    let mut wrong = process::command(folder.path());
    let refused = wrong.args(["setup", "--broker", "mqtt://a:b@broker"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_tells_by_its_exit_status() {
    let folder = tempfile::tempdir().unwrap();
    let port = kit::ports::free().to_string();
    let healthy = || {
        let mut command = process::command(folder.path());
        command.arg("healthy").env("PIKA__HEALTH__PORT", &port).env("PIKA__HEALTH__HOST", "0.0.0.0");
        command.output().unwrap()
    };
    let nobody = healthy();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains(&format!("http://127.0.0.1:{port}/readyz")));
    let pika = kit::Pika::up(folder.path(), &[], &[("PIKA__HEALTH__PORT", &port)]).await;
    wait::until("health", || async {
        let said = healthy();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        if said.status.success() && text == "ready\n" { Ok(()) } else { Err(text) }
    })
    .await;
    drop(pika);
    // Alive, and not ready: there is no broker.
    let mut archiver = process::command(folder.path());
    archiver.arg("archiver").env("PIKA__HEALTH__PORT", &port);
    archiver.env("PIKA_BROKER_URL", format!("mqtt://127.0.0.1:{}", kit::ports::free()));
    let _archiver = Program::start(archiver, folder.path(), "archiver");
    wait::until("an answer that it is not ready", || async {
        let said = healthy();
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        if said.status.code() == Some(1) && text.contains("not ready: ") { Ok(()) } else { Err(text) }
    })
    .await;
}

/// docker/ with an `.env` as an operator makes it.
fn prepared(folder: &Path) -> PathBuf {
    let docker = folder.join("docker");
    fs::create_dir_all(&docker).unwrap();
    for name in ["compose.yaml", "compose.laptop.yaml", "Caddyfile"] {
        fs::copy(repository().join("docker").join(name), docker.join(name)).unwrap();
    }
    fs::copy(repository().join("docker/.env.example"), docker.join(".env")).unwrap();
    docker
}

#[test]
fn compose_accepts_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let docker = prepared(folder.path());
    let files: Vec<String> = names(&repository().join("docker"));
    let files: BTreeSet<&String> = files.iter().filter(|name| name.ends_with(".yaml")).collect();
    assert_eq!(files.len(), 2);
    for file in files {
        let config = compose_config(&docker, file);
        for (name, service) in config["services"].as_object().unwrap() {
            let image = service["image"].as_str().unwrap_or_else(|| panic!("{file}: {name} has no image"));
            let tag = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag")).1;
            assert!(tag != "latest" && tag.contains('.'), "{file}: {image} is no release");
            assert_eq!(
                service["logging"]["options"]["max-size"], "10m",
                "{file}: {name}'s log grows for ever"
            );
            assert!(service["mem_limit"].is_string(), "{file}: {name} may take all memory");
            assert!(
                service["restart"].is_string() && service["stop_grace_period"] == "10s",
                "{file}: {name}"
            );
        }
    }
}

/// In a VPS of 1 GB, half of which is the system's. What runs once runs beside a database alone.
#[test]
fn the_server_fits_into_500_megabytes() {
    let folder = tempfile::tempdir().unwrap();
    let config = compose_config(&prepared(folder.path()), "compose.yaml");
    let megabytes = |service: &Value| -> u32 {
        service["mem_limit"].as_str().unwrap().trim_end_matches('m').parse().unwrap()
    };
    let services = config["services"].as_object().unwrap();
    let stays = services.iter().filter(|(_, service)| service["restart"] == "unless-stopped");
    let (count, sum) = stays.fold((0, 0), |(count, sum), (_, its)| (count + 1, sum + megabytes(its)));
    assert!(count == 5 && sum <= 500, "{count} services, {sum} MB");
}

#[test]
fn the_dockerfile_is_of_releases_and_ends_as_nobody() {
    let text = fs::read_to_string(repository().join("docker/Dockerfile")).unwrap();
    let from: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    for image in from.iter().filter(|image| **image != "scratch") {
        let tag = image.split(' ').next().unwrap().rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag.contains('.')), "{image} is no release");
    }
    let (_, last) = text.rsplit_once("\nFROM ").unwrap();
    for line in ["scratch", "USER 10001:10001", "ENTRYPOINT [\"/usr/bin/pika\"]"] {
        assert!(last.lines().any(|found| found == line), "{line}");
    }
    assert!(last.contains("HEALTHCHECK") && last.contains("[\"/usr/bin/pika\", \"healthy\"]"));
    // The database's own tools are those of the database.
    let folder = tempfile::tempdir().unwrap();
    let config = compose_config(&prepared(folder.path()), "compose.yaml");
    let database = config["services"]["postgres"]["image"].as_str().unwrap();
    assert!(from.contains(&&*format!("{database} AS backup")), "{from:?}");
    let rust = fs::read_to_string(repository().join(".github/workflows/ci.yml")).unwrap();
    let version = from[0].split([':', '-']).nth(1).unwrap();
    assert!(rust.contains(&format!("image: rust:{version}-")), "the image is built by what is tested");
}

#[test]
fn caddy_knows_every_word_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let docker = prepared(folder.path());
    let mut check = Command::new(caddy());
    check.args(["validate", "--adapter", "caddyfile", "--config"]).arg(docker.join("Caddyfile"));
    check.env("DOMAIN", DOMAIN).env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    let said = check.output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && !text.contains("\"level\":\"warn\""), "{text}");
    let version = String::from_utf8(Command::new(caddy()).arg("version").output().unwrap().stdout).unwrap();
    let compose = fs::read_to_string(docker.join("compose.yaml")).unwrap();
    let number = version.trim_start_matches('v').split(' ').next().unwrap();
    assert!(compose.contains(&format!("image: caddy:{number}-")), "{version} is not what compose.yaml names");
}

/// Units with the place of the executable changed to where it is here.
fn units(folder: &Path) -> BTreeMap<String, PathBuf> {
    let from = repository().join("pika/packaging/systemd");
    let executable = process::executable();
    let mut found = BTreeMap::new();
    for name in names(&from) {
        let text = from.join(&name);
        if text.is_dir() {
            let into = folder.join(&name);
            fs::create_dir_all(&into).unwrap();
            for part in names(&text) {
                fs::copy(text.join(&part), into.join(&part)).unwrap();
            }
            continue;
        }
        let text =
            fs::read_to_string(text).unwrap().replace("/usr/bin/pika", &executable.display().to_string());
        // Some other program's user: ours is made by the package.
        fs::write(
            folder.join(&name),
            text.replace("User=pika", "User=daemon").replace("Group=pika", "Group=daemon"),
        )
        .unwrap();
        found.insert(name.clone(), folder.join(&name));
    }
    found
}

#[test]
fn systemd_accepts_the_units_and_finds_them_tight() {
    let folder = tempfile::tempdir().unwrap();
    let mut units = units(folder.path());
    assert_eq!(units.len(), 3, "{units:?}");
    // A template is looked at as one of its instances.
    let template = units.remove("pika@.service").unwrap();
    for part in ["broker", "archiver", "webapp"] {
        let name = format!("pika@{part}.service");
        fs::copy(&template, folder.path().join(&name)).unwrap();
        units.insert(name.clone(), folder.path().join(name));
    }
    fs::remove_file(template).unwrap();
    for (name, path) in &units {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(path);
        verify.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()));
        let said = verify.output().unwrap();
        let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.status.success() && !text.contains(name.as_str()), "{name}: {text}");
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager", "--threshold=20"]).arg(path);
        let said = security.output().unwrap();
        assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stdout));
    }
}

/// What the package is made of is there.
#[test]
fn the_package_names_files_that_exist() {
    let pika = repository().join("pika");
    let manifest = fs::read_to_string(pika.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let mut packed = BTreeSet::new();
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        packed.insert(source.rsplit('/').next().unwrap().to_owned());
        assert!(source.starts_with("target/") || pika.join(source).is_file(), "{source} is not there");
    }
    let systemd = pika.join("packaging/systemd");
    for name in names(&systemd).into_iter().filter(|name| name.ends_with(".service")) {
        assert!(packed.contains(&name), "{name} is in no package");
    }
    for file in deb["conf-files"].as_array().unwrap() {
        let name = file.as_str().unwrap().rsplit('/').next().unwrap();
        assert!(packed.contains(name), "{name}");
    }
    let scripts = pika.join(deb["maintainer-scripts"].as_str().unwrap());
    for script in ["postinst", "prerm", "postrm"] {
        let checked = Command::new("sh").arg("-n").arg(scripts.join(script)).status().unwrap();
        assert!(checked.success(), "{script}");
        let text = fs::read_to_string(scripts.join(script)).unwrap();
        for unasked in ["systemctl start", "systemctl enable", "systemctl restart"] {
            assert!(!text.contains(unasked), "{script}: {unasked}");
        }
    }
}
