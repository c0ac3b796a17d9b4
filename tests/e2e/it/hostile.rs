//! A broker on a public address: crowds that never say who they are, and crowds that never read. Those who came to
//! listen notice nothing, and afterwards the broker holds what it held before.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kit::mqtt::{Client, Packet, acknowledge, publish_of};
use kit::process::{self, Program, runtime};
use kit::wait;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

/// `pika broker` and a login of one of our own programs.
struct Broker {
    program: Program,
    address: SocketAddr,
    login: (String, String),
}

impl Broker {
    async fn start(folder: &Path, settings: &[(&str, &str)]) -> Self {
        let added = process::command(folder)
            .args(["token", "add", "archiver", "--kind", "service"])
            .output()
            .unwrap();
        let token = String::from_utf8(added.stdout).unwrap().trim().to_owned();
        let mut command = process::command(folder);
        command.arg("broker").envs(settings.iter().copied());
        let program = Program::start(command, folder, "broker");
        let runtime = runtime(folder, "runtime-broker.json", None).await;
        let address = runtime["mqtt"].as_str().unwrap().parse().unwrap();
        let broker = Self { program, address, login: ("archiver".to_owned(), token) };
        // It listens before it has read the tokens.
        wait::until("the broker to let us in", || async {
            let client = Client::connect(address, 0, "first", Some(&broker.login)).await;
            client.map(drop).map_err(|error| error.to_string())
        })
        .await;
        broker
    }

    /// Two that exchange messages until told to stop, each of them confirmed and received; gives how many.
    async fn pair(&self, over: Arc<AtomicBool>, count: Arc<AtomicUsize>, bytes: usize) {
        let mut reader = Client::connect(self.address, 0, "reader", Some(&self.login)).await.unwrap();
        reader.subscribe().await.unwrap();
        let mut writer = Client::connect(self.address, 0, "writer", Some(&self.login)).await.unwrap();
        let mut id = 0u16;
        while !over.load(Ordering::Relaxed) {
            id = id.checked_add(1).unwrap_or(1);
            writer.write(&publish_of(id, bytes)).await.unwrap();
            assert_eq!(writer.read().await.unwrap(), Packet::Acknowledged);
            let Packet::Message(Some(given)) = reader.read().await.unwrap() else { panic!("no message") };
            reader.write(&acknowledge(given)).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the pair run beside something, and sees to it that it went on while that lasted.
    async fn beside<T>(&self, bytes: usize, trouble: impl Future<Output = T>) -> T {
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let watched = async {
            wait::until_some("the pair", || (count.load(Ordering::Relaxed) > 0).then_some(())).await;
            let result = trouble.await;
            let seen = count.load(Ordering::Relaxed);
            wait::until_some("the pair to go on", || (count.load(Ordering::Relaxed) > seen).then_some(()))
                .await;
            over.store(true, Ordering::Relaxed);
            result
        };
        tokio::join!(self.pair(over.clone(), count.clone(), bytes), watched).1
    }
}

async fn connect(broker: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 1, 1 + (number % 20) as u8], 0)))?;
    socket.connect(broker).await
}

#[tokio::test]
async fn ten_thousand_that_never_say_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[("PIKA__BROKER__HANDSHAKES_MAX", "4000")]).await;
    let (before, memory_before) = (broker.program.holds(), broker.program.rss_kib());
    let mut memory_most = 0;
    broker
        .beside(300, async {
            let mut crowd = Vec::new();
            for number in 0..10_000 {
                // A refusal is an answer, too.
                crowd.extend(connect(broker.address, number).await.ok());
                if number % 500 == 0 {
                    memory_most = memory_most.max(broker.program.rss_kib());
                }
            }
            let files = broker.program.holds().files;
            // Those who had to go may not have been shown out yet: one turn of the door.
            assert!(files <= 4_000 + before.files + 500, "no more than allowed: {files}");
            for mut one in crowd {
                let mut left = Vec::new();
                _ = one.read_to_end(&mut left).await;
                assert!(left.is_empty(), "nobody was let in");
            }
        })
        .await;
    let grown = memory_most.saturating_sub(memory_before);
    assert!(grown < 64 << 10, "4,000 strangers took {grown} KiB");
    wait::until("everything to be given back", || async {
        let now = broker.program.holds();
        // The pair is gone as well.
        if now.is_like(before) { Ok(()) } else { Err(format!("{now:?} after {before:?}")) }
    })
    .await;
    assert!(!broker.program.log().contains("panicked"));
}

#[tokio::test]
async fn a_thousand_subscribers_that_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(folder.path(), &[("PIKA__BROKER__QUEUE_BYTES_MAX", "1000000")]).await;
    let (before, memory_before) = (broker.program.holds(), broker.program.rss_kib());
    let mut stuck = Vec::new();
    for number in 0..1_000 {
        let id = format!("stuck-{number}");
        let mut client =
            Client::connect(broker.address, (number % 10) as u8, &id, Some(&broker.login)).await.unwrap();
        client.subscribe().await.unwrap();
        stuck.push(client);
    }
    let mut memory_most = 0;
    broker
        .beside(10_000, async {
            wait::until_some("the stuck ones to be disconnected", || {
                memory_most = memory_most.max(broker.program.rss_kib());
                (broker.program.holds().files < before.files + 10).then_some(())
            })
            .await;
        })
        .await;
    let grown = memory_most.saturating_sub(memory_before);
    assert!(grown < 160 << 10, "1,000 that do not read took {grown} KiB");
    assert!(broker.program.log().contains("reads too slowly"));
    assert!(!broker.program.log().contains("panicked"));
    let now = broker.program.holds();
    assert!(now.is_like(before), "{now:?} after {before:?}");
    drop(stuck);
}
