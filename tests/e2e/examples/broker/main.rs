//! Our broker beside mosquitto and a bare rumqttd, on the same machine in the same minutes: in turn, three
//! rounds, medians. Run by `cargo xtask bench broker`, in the release build.

#![allow(clippy::unwrap_used, reason = "a benchmark that does not work fails by panicking")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kit::brokers::program;
use kit::mqtt::{Client, Packet, acknowledge, publish, publish_of};
use kit::ports;
use kit::process::{self, Program};
use kit::wait;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

const ROUNDS: usize = 3;
const INFLIGHT: usize = 100;
const ACKNOWLEDGED_FOR: Duration = Duration::from_secs(2);
const SUBSCRIBERS: usize = 1_000;
const FANNED_OUT: usize = 100;
const CONNECTS: usize = 5_000;
const ONE_BY_ONE: usize = 1_000;
const STUCK: usize = 1_000;
const HALF_OPEN: usize = 10_000;

/// Connections come from so many loopback addresses: a server may take only so many from one.
const ADDRESSES: usize = 10;

/// What is measured, in the order of the table: its name, and whether more is better.
const FIGURES: [(&str, bool); 12] = [
    ("QoS 1 acknowledged/s, 1 publisher, 100 in flight", true),
    ("QoS 1 acknowledged/s, 4 publishers, 100 in flight each", true),
    ("1,000 subscribers, server CPU per delivery, µs", false),
    ("1,000 subscribers, until the last has it, ms", false),
    ("1,000 subscribers, p99 of a delivery, ms", false),
    ("the same beside 1,000 that never read, ms", false),
    ("memory per subscriber that never reads, with the kernel's, KiB", false),
    ("5,000 connect at once, until all are subscribed, ms", false),
    ("memory per idle connection, KiB", false),
    ("publish → subscriber, median, µs", false),
    ("publish → subscriber, p99, µs", false),
    ("the same beside 10,000 half-open connections, µs", false),
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

struct FanOut {
    cpu_us: f64,
    /// Until the last subscriber has a message, the median.
    last_ms: f64,
    p99_ms: f64,
}

async fn fanned_out(server: &Server) -> FanOut {
    let (received, all) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let mut subscribers = Vec::new();
    let begin = Instant::now();
    // When the message under way was sent, and how long each delivery took, in µs.
    let sent = Arc::new(AtomicU64::new(0));
    let took = Arc::new(Mutex::new(Vec::with_capacity(FANNED_OUT * SUBSCRIBERS)));
    for n in 0..SUBSCRIBERS {
        let mut client = server.client(n, &format!("subscriber-{n}")).await.unwrap();
        client.subscribe().await.unwrap();
        let (received, all, sent, took) = (received.clone(), all.clone(), sent.clone(), took.clone());
        subscribers.push(tokio::spawn(async move {
            while let Ok(packet) = client.read().await {
                if let Packet::Message(id) = packet {
                    let now = begin.elapsed().as_micros() as u64;
                    took.lock().unwrap().push((now - sent.load(Ordering::Relaxed)) as f64 / 1e3);
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
    let before = server.program.cpu_us();
    let mut times = Vec::new();
    for id in 1..=FANNED_OUT as u16 {
        let since = Instant::now();
        sent.store(begin.elapsed().as_micros() as u64, Ordering::Relaxed);
        publisher.write(&publish(id)).await.unwrap();
        all.notified().await;
        times.push(since.elapsed().as_secs_f64() * 1e3);
        while publisher.read().await.unwrap() != Packet::Acknowledged {}
    }
    let used = server.program.cpu_us() - before;
    subscribers.iter().for_each(|subscriber| subscriber.abort());
    let took = std::mem::take(&mut *took.lock().unwrap());
    let cpu_us = used / (FANNED_OUT * SUBSCRIBERS) as f64;
    FanOut { cpu_us, last_ms: median(times), p99_ms: quantile(took, 0.99) }
}

/// Subscribers that stopped reading, with everything full that can be filled on their way; and what each of them takes,
/// here and in the kernel, in KiB.
async fn stuck(server: &Server) -> (Vec<Client>, f64) {
    let before = server.program.rss_kib() as f64 + kernel_kib();
    let mut stuck = Vec::new();
    for n in 0..STUCK {
        let mut client = server.client(n, &format!("stuck-{n}")).await.unwrap();
        client.subscribe().await.unwrap();
        stuck.push(client);
    }
    let mut publisher = server.client(0, "filler").await.unwrap();
    for id in 1..=100 {
        publisher.write(&publish_of(id, 10_000)).await.unwrap();
        assert_eq!(publisher.read().await.unwrap(), Packet::Acknowledged);
    }
    // What is still on its way through the kernel cannot be asked for.
    tokio::time::sleep(Duration::from_secs(1)).await; // tidy: a pause between two readings, not a wait
    let after = server.program.rss_kib() as f64 + kernel_kib();
    (stuck, (after - before) / STUCK as f64)
}

/// What TCP holds on this machine.
fn kernel_kib() -> f64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap();
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap();
    let pages: f64 = line.rsplit_once("mem ").unwrap().1.trim().parse().unwrap();
    pages * 4.0
}

/// Connections that never say who they are, kept up for as long as they are held.
async fn half_open(server: &Server) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for n in 0..HALF_OPEN {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 1, 1 + (n % 20) as u8], 0))).unwrap();
        open.extend(socket.connect(server.address).await.ok());
    }
    open
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

/// Microseconds from the write of a message to its arrival, one message at a time: median and p99.
async fn one_by_one(server: &Server) -> (f64, f64) {
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
    (median(times.clone()), quantile(times, 0.99))
}

fn median(all: Vec<f64>) -> f64 {
    quantile(all, 0.5)
}

fn quantile(mut all: Vec<f64>, share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all[((all.len() as f64 * share) as usize).min(all.len() - 1)]
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
            let fan = fanned_out(&fresh("fan").await).await;
            let beside = fresh("stuck").await;
            let (never_read, each_stuck) = stuck(&beside).await;
            let beside_stuck = fanned_out(&beside).await;
            drop((never_read, beside));
            let (connect, memory) = connected(&fresh("connect").await).await;
            let server = fresh("one").await;
            let (alone, alone_p99) = one_by_one(&server).await;
            let crowd = half_open(&server).await;
            let (_, beside_crowd) = one_by_one(&server).await;
            drop((crowd, server));
            let figures = [
                one,
                four,
                fan.cpu_us,
                fan.last_ms,
                fan.p99_ms,
                beside_stuck.p99_ms,
                each_stuck,
                connect,
                memory,
                alone,
                alone_p99,
                beside_crowd,
            ];
            eprintln!("  {figures:.1?}");
            for (figure, value) in figures.into_iter().enumerate() {
                measured[place][figure].push(value);
            }
        }
    }
    println!(
        "\nmedians of {ROUNDS} rounds; ratio: pika to the other (+ is better, - is worse)\n\n{:<64}{:>10}{:>12}{:>10}{:>14}{:>12}",
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
            "{name:<64}{:>10}{:>12}{:>10}{:>14}{:>12}",
            shown(pika),
            shown(mosquitto),
            shown(rumqttd),
            ratio(mosquitto),
            ratio(rumqttd)
        );
    }
}
