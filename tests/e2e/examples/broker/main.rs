//! Our broker beside mosquitto and a bare rumqttd, on the same machine in the same minutes: in turn, three
//! rounds, medians. Run by `cargo xtask bench broker`, in the release build.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kit::brokers::program;
use kit::mqtt::{Client, Packet, acknowledge, publish};
use kit::ports;
use kit::process::{self, Program};
use kit::wait;
use tokio::sync::Notify;

const ROUNDS: usize = 3;
const INFLIGHT: usize = 100;
const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(2);
const SUBSCRIBERS: usize = 1_000;
const FANNED_OUT: usize = 100;
const CONNECTS: usize = 5_000;
const ONE_BY_ONE: usize = 1_000;

/// Connections come from so many loopback addresses: a server may take only so many from one.
const ADDRESSES: usize = 10;

/// What is measured, in the order of the table: its name, and whether more is better.
const FIGURES: [(&str, bool); 7] = [
    ("QoS 1 acknowledged/s, 1 publisher, 100 in flight", true),
    ("QoS 1 acknowledged/s, 4 publishers, 100 in flight each", true),
    ("1,000 subscribers, server CPU per delivery, µs", false),
    ("1,000 subscribers, until the last has it, ms", false),
    ("5,000 connect at once, until all are subscribed, ms", false),
    ("memory per idle connection, KiB", false),
    ("publish → subscriber, median, µs", false),
];

struct Server {
    program: Program,
    address: SocketAddr,
    login: Option<(String, String)>,
}

async fn start(system: &str, folder: &Path) -> Server {
    fs::create_dir_all(folder).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let mut login = None;
    let command = match system {
        "pika" => {
            let mut add = process::command(folder);
            let added = add.args(["token", "add", "bench", "--kind", "service"]).output().unwrap();
            let token = String::from_utf8(added.stdout).unwrap().trim().to_owned();
            login = Some(("bench".to_owned(), token));
            let mut command = process::command(folder);
            command.arg("broker").env("PIKA__MQTT__PORT", address.port().to_string());
            command
        }
        "mosquitto" => {
            let config = folder.join("mosquitto.conf");
            let lines = format!("user root\nlistener {} 127.0.0.1\nallow_anonymous true\n", address.port());
            fs::write(&config, lines + "set_tcp_nodelay true\n").unwrap();
            let mut command = Command::new(program("mosquitto"));
            command.arg("-c").arg(config);
            command
        }
        _ => {
            let mut command = Command::new(std::env::var_os("PIKA_BARE_RUMQTTD").unwrap());
            command.arg(address.to_string());
            command
        }
    };
    let program = Program::start(command, folder, system);
    let server = Server { program, address, login };
    // Our broker listens before it has read the tokens.
    wait::until("the broker to let us in", || async {
        server.client(0, "first").await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    server
}

impl Server {
    async fn client(&self, from: usize, id: &str) -> std::io::Result<Client> {
        Client::connect(self.address, (from % ADDRESSES) as u8, id, self.login.as_ref()).await
    }

    /// Microseconds of CPU so far, in steps of the kernel's 10 ms.
    fn cpu_us(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks * 10_000.0
    }
}

/// Acknowledgements per second.
async fn acknowledged(server: &Server, publishers: usize) -> f64 {
    let mut running = Vec::new();
    for n in 0..publishers {
        let mut client = server.client(n, &format!("publisher-{n}")).await.unwrap();
        running.push(tokio::spawn(async move {
            let mut id = 0u16;
            let mut next = |count: usize| {
                let mut bytes = Vec::new();
                for _ in 0..count {
                    id = id % 60_000 + 1;
                    bytes.extend(publish(id));
                }
                bytes
            };
            let since = Instant::now();
            let first = next(INFLIGHT);
            client.write(&first).await.unwrap();
            let mut count = 0usize;
            while since.elapsed() < ACKNOWLEDGED_FOR {
                assert_eq!(client.read().await.unwrap(), Packet::Acknowledged);
                let mut free = 1;
                while let Some(packet) = client.try_read() {
                    assert_eq!(packet, Packet::Acknowledged);
                    free += 1;
                }
                count += free;
                let more = next(free);
                client.write(&more).await.unwrap();
            }
            count as f64 / since.elapsed().as_secs_f64()
        }));
    }
    let mut sum = 0.0;
    for publisher in running {
        sum += publisher.await.unwrap();
    }
    sum
}

/// CPU per delivery in µs, and the median of the times until the last subscriber has a message, in ms.
async fn fanned_out(server: &Server) -> (f64, f64) {
    let (received, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut subscribers = Vec::new();
    for n in 0..SUBSCRIBERS {
        let mut client = server.client(n, &format!("subscriber-{n}")).await.unwrap();
        client.subscribe().await.unwrap();
        let (received, all) = (received.clone(), all.clone());
        subscribers.push(tokio::spawn(async move {
            while let Ok(packet) = client.read().await {
                if let Packet::Message(id) = packet {
                    if (received.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(SUBSCRIBERS) {
                        all.notify_one();
                    }
                    // The server ends before we do, after the last message.
                    if let Some(id) = id
                        && client.write(&acknowledge(id)).await.is_err()
                    {
                        return;
                    }
                }
            }
        }));
    }
    let mut publisher = server.client(0, "publisher").await.unwrap();
    let before = server.cpu_us();
    let mut times = Vec::new();
    for id in 1..=FANNED_OUT as u16 {
        let since = Instant::now();
        publisher.write(&publish(id)).await.unwrap();
        all.notified().await;
        times.push(since.elapsed().as_secs_f64() * 1e3);
        while publisher.read().await.unwrap() != Packet::Acknowledged {}
    }
    let used = server.cpu_us() - before;
    subscribers.iter().for_each(|subscriber| subscriber.abort());
    (used / (FANNED_OUT * SUBSCRIBERS) as f64, median(times))
}

/// Milliseconds until all are subscribed (without end, if somebody was turned away), and KiB for each who is.
async fn connected(server: &Server) -> (f64, f64) {
    let before = server.program.rss_kib();
    let since = Instant::now();
    let running: Vec<_> = (0..CONNECTS)
        .map(|n| {
            let (address, login) = (server.address, server.login.clone());
            tokio::spawn(async move {
                let from = (n % ADDRESSES) as u8;
                let mut client = Client::connect(address, from, &format!("idle-{n}"), login.as_ref()).await?;
                client.subscribe().await?;
                std::io::Result::Ok(client)
            })
        })
        .collect();
    let mut clients = Vec::new();
    for client in running {
        clients.extend(client.await.unwrap().ok());
    }
    let took_ms = since.elapsed().as_secs_f64() * 1e3;
    let each = (server.program.rss_kib() - before) as f64 / clients.len() as f64;
    if clients.len() < CONNECTS {
        eprintln!("  {} of {CONNECTS} connections were turned away", CONNECTS - clients.len());
        return (f64::INFINITY, each);
    }
    (took_ms, each)
}

/// Microseconds from the write of a message to its arrival, one message at a time.
async fn one_by_one(server: &Server) -> f64 {
    let mut subscriber = server.client(0, "subscriber").await.unwrap();
    subscriber.subscribe().await.unwrap();
    let mut publisher = server.client(0, "publisher").await.unwrap();
    let mut times = Vec::new();
    for id in 1..=ONE_BY_ONE as u16 {
        let since = Instant::now();
        publisher.write(&publish(id)).await.unwrap();
        let Packet::Message(Some(given)) = subscriber.read().await.unwrap() else { panic!("no message") };
        times.push(since.elapsed().as_secs_f64() * 1e6);
        subscriber.write(&acknowledge(given)).await.unwrap();
        assert_eq!(publisher.read().await.unwrap(), Packet::Acknowledged);
    }
    median(times)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[tokio::main]
async fn main() {
    let systems = ["pika", "mosquitto", "rumqttd"];
    let mut measured = vec![vec![Vec::new(); FIGURES.len()]; systems.len()];
    for round in 1..=ROUNDS {
        for (place, system) in systems.iter().enumerate() {
            eprintln!("· round {round} of {ROUNDS}: {system}");
            let folder = tempfile::tempdir().unwrap();
            // Each figure from a fresh server: no figure pays for the one before it.
            let fresh = async |name: &str| start(system, &folder.path().join(name)).await;
            let one = acknowledged(&fresh("1").await, 1).await;
            let four = acknowledged(&fresh("4").await, 4).await;
            let (cpu, last) = fanned_out(&fresh("fan").await).await;
            let (connect, memory) = connected(&fresh("connect").await).await;
            let alone = one_by_one(&fresh("one").await).await;
            let figures = [one, four, cpu, last, connect, memory, alone];
            eprintln!("  {figures:.1?}");
            for (figure, value) in figures.into_iter().enumerate() {
                measured[place][figure].push(value);
            }
        }
    }
    println!(
        "\nmedians of {ROUNDS} rounds; ratio: pika to the other (+ is better, - is worse)\n\n{:<58}{:>10}{:>12}{:>10}{:>14}{:>12}",
        "", "pika", "mosquitto", "rumqttd", ": mosquitto", ": rumqttd"
    );
    for (figure, (name, more_is_better)) in FIGURES.iter().enumerate() {
        let [pika, mosquitto, rumqttd] =
            [0, 1, 2].map(|place: usize| median(measured[place][figure].clone()));
        let ratio = |other: f64| {
            let ratio = pika / other;
            let sign = if (ratio >= 1.0) == *more_is_better { '+' } else { '-' };
            format!("{ratio:.2} {sign}")
        };
        let shown = |value: f64| match value {
            value if value.is_infinite() => "failed".to_owned(),
            value if value < 100.0 => format!("{value:.1}"),
            value => format!("{value:.0}"),
        };
        println!(
            "{name:<58}{:>10}{:>12}{:>10}{:>14}{:>12}",
            shown(pika),
            shown(mosquitto),
            shown(rumqttd),
            ratio(mosquitto),
            ratio(rumqttd)
        );
    }
}
