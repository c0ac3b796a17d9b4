//! What is right and what is wrong, and its cure. Pure.

use std::net::IpAddr;

use store::{DatabaseUrl, Role, TokenKind};

use super::Finding;
use super::gather::{Facts, is_global};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Clocks may differ by so much.
const SKEW_MAX_MS: i64 = 5_000;

/// A night is a few megabytes; what is below this is full soon.
const FREE_BYTES_MIN: u64 = 500_000_000;

/// A secret that signs cookies.
const SECRET_BYTES_MIN: usize = 32;

/// What stands in samples, or is tried first.
const KNOWN_SECRETS: &[&str] = &[
    "",
    "…",
    "pika",
    "postgres",
    "password",
    "secret",
    "changeme",
    "change-me",
    "example",
    "admin",
    "token",
    "x",
];

/// A network of proxies is not wider than this.
const PROXY_BITS_MIN: (u8, u8) = (8, 32);

/// All items, in the order of the checklist.
pub(super) fn all(facts: &Facts) -> Vec<Finding> {
    let looks: [fn(&Facts, &mut Vec<Finding>); 13] = [
        programs, pages, origins, proxies, limits, secrets, ports, readers, database, backups, clocks,
        people, machine,
    ];
    let mut findings = Vec::new();
    for look in looks {
        look(facts, &mut findings);
    }
    findings
}

fn programs(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "programs";
    if facts.programs.is_empty() {
        found.push(Finding::note(
            ITEM,
            "nothing was started with this data folder",
            "run this where Pika runs: as its user, with its --data and --config, or by `docker compose exec`",
        ));
    }
    for (name, ready) in &facts.programs {
        found.push(match ready {
            Ok(()) => Finding::ok(ITEM, format!("{name} is ready")),
            Err(why) => Finding::fault(
                ITEM,
                format!("{name} is not ready: {why}"),
                "it says what it lacks; if it does not run, start it and look at the end of its log",
            ),
        });
    }
}

fn pages(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "HTTPS";
    let Some(outside) = &facts.outside else {
        let says = match &facts.web.public_url {
            Some(url) => format!("the pages are at {url}, without encryption"),
            None => {
                "the pages have no public address, so phones in the local network alone open them".to_owned()
            }
        };
        found.push(Finding::note(
            ITEM,
            says,
            "right for an event WiFi; on the internet, set `public_url` in [web] to an https:// address behind Caddy",
        ));
        return;
    };
    match &outside.page {
        Err(why) => found.push(Finding::fault(
            ITEM,
            format!("the pages cannot be reached at their public address: {why}"),
            "let the name lead to this server, open ports 80 and 443, and look at Caddy's log for its certificate",
        )),
        Ok(page) if page.status >= 400 => found.push(Finding::fault(
            ITEM,
            format!("the pages answer {} at their public address", page.status),
            "let the proxy lead to the web app's port, 3002 unless it was changed",
        )),
        Ok(page) => {
            found.push(Finding::ok(ITEM, "the pages are there, with a certificate that is trusted"));
            if !page.is_strict {
                found.push(Finding::fault(
                    ITEM,
                    "browsers are not told to come over HTTPS alone",
                    "name the proxy in `proxies` of [web], so that it is believed when it says https (X-Forwarded-Proto)",
                ));
            }
        }
    }
    match &outside.plain {
        Some((status, to)) if (300..400).contains(status) && to.starts_with("https://") => {
            found.push(Finding::ok(ITEM, "http:// leads to https://"));
        }
        Some((status, _)) => found.push(Finding::fault(
            ITEM,
            format!("http:// is answered with {status}, not led to https://"),
            "let port 80 do nothing but redirect; Caddy does so by itself",
        )),
        // Nobody listens: nothing is served without encryption.
        None => found.push(Finding::ok(ITEM, "nothing is served at http://")),
    }
    if let Some(url) = &facts.web.broker_url
        && !(url.starts_with("wss://") || url.starts_with("mqtts://"))
    {
        found.push(Finding::fault(
            ITEM,
            format!("DJs' laptops are sent to {url}, which is not encrypted"),
            "set `broker_url` in [web] to wss://api.DOMAIN/ws",
        ));
    }
}

fn origins(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "origins";
    let named = facts.web.origins.iter().chain(&facts.broker.websocket_origins);
    for origin in named {
        if facts.is_public() && !origin.starts_with("https://") {
            found.push(Finding::fault(
                ITEM,
                format!("`{origin}` may use our WebSocket or forms, and anybody can pretend to be it"),
                "name origins that begin with https://, in `origins` of [web] and `websocket_origins` of [broker]",
            ));
        }
    }
    let Some(outside) = &facts.outside else { return };
    if let Ok(page) = &outside.page
        && let Some(allows) = &page.allows
    {
        found.push(Finding::fault(
            ITEM,
            format!("pages of `{allows}` may read ours"),
            "take `Access-Control-Allow-Origin` out of the proxy's settings; Pika sends none",
        ));
    }
    for (what, status) in [("WebSocket", outside.foreign_socket), ("form", outside.foreign_form)] {
        match status {
            Some(403) => found.push(Finding::ok(ITEM, format!("a foreign page's {what} is refused"))),
            Some(status) => found.push(Finding::fault(
                ITEM,
                format!("a foreign page's {what} is answered with {status}, not refused"),
                "let the proxy pass the headers Origin and Host on as they are",
            )),
            None => {}
        }
    }
}

fn proxies(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "proxies";
    let before = found.len();
    if facts.is_public() && facts.web.proxies.is_empty() {
        found.push(Finding::fault(
            ITEM,
            "the pages are behind HTTPS that is not our own, and no proxy is named: all dancers count as one address",
            "name the proxy's address in `proxies` of [web]",
        ));
    }
    for (section, networks) in [("web", &facts.web.proxies), ("broker", &facts.broker.proxies)] {
        for network in networks {
            let min = if network.is_ipv6() { PROXY_BITS_MIN.1 } else { PROXY_BITS_MIN.0 };
            if network.bits() < min {
                found.push(Finding::fault(
                    ITEM,
                    format!(
                        "`{network}` in [{section}] believes half the world when it says for whom it asks"
                    ),
                    "name the address of the proxy itself, or the network that it alone is in",
                ));
            }
        }
    }
    if facts.broker.proxy_protocol && facts.broker.proxies.is_empty() {
        found.push(Finding::fault(
            ITEM,
            "the broker expects the PROXY protocol, and from nobody",
            "name the proxy's address in `proxies` of [broker], or take out `proxy_protocol`",
        ));
    }
    if found.len() == before {
        let networks: Vec<String> = facts.web.proxies.iter().map(ToString::to_string).collect();
        found.push(Finding::ok(
            ITEM,
            if networks.is_empty() {
                "none is believed".to_owned()
            } else {
                format!("{} alone are believed", networks.join(", "))
            },
        ));
    }
}

fn limits(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "limits";
    let (web, broker) = (&facts.web, &facts.broker);
    // Beyond these, a limit is none.
    let bounds: [(&str, u64, u64); 8] = [
        ("[web] taps_per_minute", web.taps_per_minute.into(), 600),
        ("[web] floor_taps_per_s", web.floor_taps_per_s.into(), 100_000),
        ("[web] sockets_max", web.sockets_max as u64, 1_000_000),
        ("[broker] failed_logins_per_address_max", broker.failed_logins_per_address_max.into(), 1_000),
        ("[broker] client_packets_per_s", broker.client_packets_per_s.into(), 100_000),
        ("[broker] token_publishes_per_s", broker.token_publishes_per_s.into(), 100_000),
        ("[broker] connections_max", broker.connections_max as u64, 1_000_000),
        ("[broker] packet_bytes_max", broker.packet_bytes_max as u64, 64 << 20),
    ];
    let before = found.len();
    for (name, value, max) in bounds {
        if value == 0 || value > max {
            found.push(Finding::fault(
                ITEM,
                format!(
                    "{name} is {value}, so {}",
                    if value == 0 { "nobody gets through" } else { "there is none" }
                ),
                "take the line out of the settings: the default is made for a full floor",
            ));
        }
    }
    if found.len() == before {
        found.push(Finding::ok(ITEM, "all are on"));
    }
}

fn secrets(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "secrets";
    let before = found.len();
    let weak = |secret: &str| KNOWN_SECRETS.contains(&secret.trim().to_lowercase().as_str());
    if let Some(secret) = &facts.web.secret
        && (weak(secret.reveal()) || secret.reveal().len() < SECRET_BYTES_MIN)
    {
        found.push(Finding::fault(
            ITEM,
            format!("`secret` of [web] is known or shorter than {SECRET_BYTES_MIN} characters: cookies can be forged"),
            "set PIKA__WEB__SECRET to what `openssl rand -hex 32` prints, or take it out: one is made and kept",
        ));
    }
    if let DatabaseUrl::Postgres { .. } = facts.database
        && facts.is_public()
        && facts.database_password.as_ref().is_some_and(|password| weak(password.reveal()))
    {
        found.push(Finding::fault(
            ITEM,
            "the database has a password that everybody tries first",
            "change it there (alter role … password …) and in PIKA__DATABASE__PASSWORD_FILE",
        ));
    }
    for file in &facts.open_files {
        found.push(Finding::fault(
            ITEM,
            format!("others on this machine may read {}", file.display()),
            format!("chmod go-rwx {}", file.display()),
        ));
    }
    if found.len() == before {
        found.push(Finding::ok(ITEM, "none has a known value, and no file with one is open to others"));
    }
}

fn ports(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "ports";
    let before = found.len();
    // Which of a container's ports are published, its engine knows, and we cannot ask it.
    let is_everywhere =
        |host: IpAddr| host.is_unspecified() && !facts.global.is_empty() && !facts.is_container;
    let reaches_out = |host: IpAddr| is_everywhere(host) || is_global(host);
    if facts.is_public() {
        let plain = [
            ("[mqtt]", facts.mqtt.host, facts.mqtt.port, "MQTT without encryption"),
            ("[web]", facts.web.host, facts.web.port, "pages without encryption, past the proxy"),
        ];
        for (setting, host, port, what) in plain {
            if reaches_out(host) {
                found.push(Finding::fault(
                    ITEM,
                    format!("port {port} of {host} gives {what} to the internet"),
                    format!("set `host` of {setting} to \"127.0.0.1\", or close the port in the firewall"),
                ));
            }
        }
    }
    if reaches_out(facts.health.host) {
        found.push(Finding::fault(
            ITEM,
            "health and metrics are open to the internet",
            "set `host` of [health] to \"127.0.0.1\", or to an address of the network that your Prometheus is in",
        ));
    }
    if found.len() == before {
        found.push(Finding::ok(ITEM, "nothing listens where it should not"));
    }
}

fn readers(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "readers";
    found.push(match (facts.is_public(), facts.broker.anonymous_read) {
        (true, true) => Finding::fault(
            ITEM,
            "everybody on the internet may read the floors over MQTT without a token",
            "set `anonymous_read = false` in [broker], and make tokens for lights: pika token add NAME --kind integrator",
        ),
        (false, true) => Finding::ok(ITEM, "everybody in the network may read the floors over MQTT, as lights do"),
        (_, false) => Finding::ok(ITEM, "over MQTT nobody reads without a token"),
    });
}

fn database(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "database";
    match &facts.archive {
        Err(why) => found.push(Finding::fault(
            ITEM,
            format!("{} cannot be used: {why}", facts.database),
            "look at DATABASE_URL, and whether the database runs; without one, `pika up` makes a file",
        )),
        Ok(archive) if !archive.pending.is_empty() => found.push(Finding::fault(
            ITEM,
            format!("{} lacks what this release needs: {}", facts.database, archive.pending.join(", ")),
            "run `pika setup`, or start the archiver of this release",
        )),
        Ok(_) => found.push(Finding::ok(ITEM, format!("{} is reached and up to date", facts.database))),
    }
}

fn backups(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "backup";
    let Ok(archive) = &facts.archive else { return };
    if facts.check.backups_elsewhere {
        found.push(Finding::ok(ITEM, "somebody else makes them, as [check] says"));
        return;
    }
    let max_ms = i64::from(facts.check.backup_max_age_h) * HOUR_MS;
    let (says, is_old) = match &archive.last_backup {
        None => ("there was never one".to_owned(), true),
        Some(last) => {
            let age_ms = (facts.now_ms - last.at_ms).max(0);
            (format!("the last one is {} h old: {}", age_ms / HOUR_MS, last.about), age_ms > max_ms)
        }
    };
    let cure = "let `pika backup FOLDER` run every hour (cron, a systemd timer), and copy the folder elsewhere; if the provider \
                of the database makes them, say `backups_elsewhere = true` in [check]";
    found.push(match (is_old, facts.is_public()) {
        (false, _) => Finding::ok(ITEM, says),
        (true, true) => Finding::fault(ITEM, says, cure),
        (true, false) => Finding::note(ITEM, says, cure),
    });
}

fn clocks(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "clock";
    let of_pages = facts.outside.as_ref().and_then(|outside| outside.page.as_ref().ok()?.skew_ms);
    let of_database = facts.archive.as_ref().ok().and_then(|archive| archive.skew_ms);
    let mut compared = 0;
    for (whose, skew_ms) in [("the database's", of_database), ("the pages'", of_pages)] {
        let Some(skew_ms) = skew_ms else { continue };
        compared += 1;
        if skew_ms.abs() > SKEW_MAX_MS {
            found.push(Finding::fault(
                ITEM,
                format!("ours and {whose} differ by {} s", skew_ms.abs() / 1_000),
                "timedatectl set-ntp true, on both machines",
            ));
        }
    }
    // A clock that stands in the past knows of what came later.
    let newest_ms = facts.archive.as_ref().ok().into_iter().flat_map(|archive| &archive.tokens);
    if newest_ms
        .map(|one| one.created_ms)
        .max()
        .is_some_and(|newest_ms| newest_ms > facts.now_ms + SKEW_MAX_MS)
    {
        found.push(Finding::fault(
            ITEM,
            "there are tokens that were made later than now",
            "timedatectl set-ntp true",
        ));
    } else if found.iter().all(|finding| finding.item != ITEM) {
        found.push(Finding::ok(ITEM, format!("right, as far as {compared} others tell")));
    }
}

fn people(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "people";
    let Ok(archive) = &facts.archive else { return };
    let organizers =
        archive.people.iter().filter(|one| one.role == Role::Organizer && one.password_ms.is_some());
    let organizers = organizers.count();
    if organizers == 0 && facts.is_public() {
        found.push(Finding::note(
            ITEM,
            "nobody can log in to /admin",
            "pika person add NAME --role organizer, unless you do it all by the command line",
        ));
    } else {
        found.push(Finding::ok(ITEM, format!("{organizers} may log in to /admin")));
    }
    let stale: Vec<&str> = archive
        .tokens
        .iter()
        .filter(|one| {
            let used_ms = one.used_ms.unwrap_or(one.created_ms);
            one.token.kind != TokenKind::Service
                && one.token.revoked_ms.is_none()
                && one.token.expires_ms.is_none()
                && facts.now_ms - used_ms > 90 * DAY_MS
        })
        .map(|one| one.token.name.as_str())
        .collect();
    if !stale.is_empty() {
        found.push(Finding::note(
            "tokens",
            format!("not used for three months, and good for ever: {}", stale.join(", ")),
            "pika token revoke NAME",
        ));
    }
}

fn machine(facts: &Facts, found: &mut Vec<Finding>) {
    const ITEM: &str = "machine";
    match facts.free_bytes {
        Some(free) if free < FREE_BYTES_MIN => found.push(Finding::fault(
            ITEM,
            format!("{} MB are free where the data is", free / 1_000_000),
            "make room: old backups, logs, `docker system prune`",
        )),
        Some(free) => found.push(Finding::ok(ITEM, format!("{} MB are free", free / 1_000_000))),
        None => {}
    }
    // A phone is a file; the rest are desks, the database and ourselves.
    let wanted = facts.web.sockets_max as u64 + 1_000;
    if let Some(max) = facts.files_max
        && max < wanted
    {
        found.push(Finding::note(
            ITEM,
            format!("the system allows {max} open files, and `sockets_max` promises {wanted} with all that belongs to it"),
            "LimitNOFILE=65536 in the unit, `ulimits` in compose.yaml, or a smaller `sockets_max`",
        ));
    }
}
