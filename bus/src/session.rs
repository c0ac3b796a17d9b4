//! One connection to a broker, for as long as the program runs: it reconnects, subscribes again and says
//! every kept state again, whatever happened to the broker meanwhile.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use protocol::{Message, Topic};
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions};
use rumqttc::{Packet, Publish, QoS, SubscribeFilter, Transport};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::address::{BrokerUrl, Road};

/// Messages read and not yet taken by the program. When it is full the socket is not read: the broker
/// keeps, and at last drops, what we do not take.
const INBOX_MESSAGES: usize = 1024;

/// Messages said and not yet written. When it is full, [`Bus::say`] answers `false`.
const SAID_MESSAGES: usize = 1024;

/// Longest packet either way; payloads are far smaller.
const PACKET_BYTES_MAX: usize = 256 * 1024;

/// A dead link is noticed after one and a half of this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How often every kept state is said again while nothing changes. Some brokers hand out no retained message
/// to a wildcard (RabbitMQ), or forget them when they are killed; whoever missed one has it after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Topics of one connection on which something came as it was said. Beyond it, what was retained is believed.
const HEARD_MAX: usize = 10_000;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);

/// Who connects where, and to hear what.
#[derive(Debug, Clone)]
pub struct Options {
    pub url: BrokerUrl,
    /// The same at every start: the newer connection then replaces a dead one at once.
    pub client_id: String,
    /// Topic filters; [`Bus::subscribe`] adds more.
    pub subscriptions: Vec<String>,
    /// What the broker says on our behalf when we are gone.
    pub will: Option<(Topic, Bytes)>,
}

/// What comes in.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every item is a message, so boxing it saves nothing")]
pub enum Incoming {
    /// Connected, for the first time or again. Every subscription is asked for, and retained messages follow.
    Connected,
    /// The connection is gone; another is being tried.
    Lost,
    Message {
        topic: Topic,
        message: Message,
        retained: bool,
    },
}

/// Says things on the broker. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

/// Reads what comes in, in order.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::Receiver<Incoming>,
}

#[derive(Debug, Default)]
struct Shared {
    outgoing: Mutex<Outgoing>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Outgoing {
    connected: bool,
    /// Every topic filter ever asked for, in that order, each once.
    filters: Vec<String>,
    /// Of `filters`, those this connection was told about.
    subscribed: usize,
    /// How many filters stand in each SUBSCRIBE that is not answered yet, and at which place they begin.
    unanswered: VecDeque<(usize, usize)>,
    /// The newest payload of every state ever kept: one entry a topic, so its bound is our own vocabulary.
    kept: BTreeMap<Topic, Bytes>,
    /// What goes out next, in the order in which the program said it.
    queue: VecDeque<Queued>,
    /// Of `queue`, things that happened.
    said: usize,
}

#[derive(Debug)]
enum Queued {
    /// The newest state of this topic, once, where its first untold change stood.
    State(Topic),
    Said(Topic, Bytes),
}

impl Shared {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        // The lock is held for map operations only; a panic there cannot leave them half done.
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus {
    /// Publishes a retained state and remembers it for every reconnect. Of several values that wait, only
    /// the newest is sent. States and [things said](Bus::say) go out in the order of these calls.
    pub fn keep(&self, topic: Topic, payload: impl Into<Bytes>) {
        let mut outgoing = self.shared.outgoing();
        let waits = |queued: &Queued| matches!(queued, Queued::State(waiting) if *waiting == topic);
        if outgoing.connected && !outgoing.queue.iter().any(waits) {
            outgoing.queue.push_back(Queued::State(topic.clone()));
        }
        outgoing.kept.insert(topic, payload.into());
        drop(outgoing);
        self.shared.news.notify_one();
    }

    /// Publishes something that happened, once. `false` when there is no connection or too much waits.
    #[must_use]
    pub fn say(&self, topic: Topic, payload: impl Into<Bytes>) -> bool {
        let mut outgoing = self.shared.outgoing();
        if !outgoing.connected || outgoing.said >= SAID_MESSAGES {
            return false;
        }
        outgoing.said += 1;
        outgoing.queue.push_back(Queued::Said(topic, payload.into()));
        drop(outgoing);
        self.shared.news.notify_one();
        true
    }

    /// Lets go of all states and of everything that waits: it is no longer ours to say.
    pub fn fall_silent(&self) {
        let mut outgoing = self.shared.outgoing();
        outgoing.kept.clear();
        outgoing.queue.clear();
        outgoing.said = 0;
    }

    /// Subscribes to one more topic filter, now and after every reconnect. Asking twice does nothing.
    pub fn subscribe(&self, filter: impl Into<String>) {
        self.shared.outgoing().add_filter(filter.into());
        self.shared.news.notify_one();
    }

    /// Whether the broker is there.
    pub fn is_connected(&self) -> bool {
        self.shared.outgoing().connected
    }
}

impl Inbox {
    /// The next thing that came in; `None` after the stop.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.receiver.recv().await
    }

    /// What is there already.
    pub fn try_next(&mut self) -> Option<Incoming> {
        self.receiver.try_recv().ok()
    }
}

/// Opens a session and returns at once; the first [`Incoming::Connected`] tells when it stands.
///
/// On `stop` what waits is written, the broker is told goodbye (so the will stays unsaid) and the inbox
/// ends.
///
/// # Errors
/// The TLS roots of the system cannot be read.
pub fn open(options: Options, stop: CancellationToken) -> anyhow::Result<(Bus, Inbox)> {
    let (client, mut events) = AsyncClient::new(mqtt_options(&options)?, 16);
    let mut network = events.network_options();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    let shared = Arc::new(Shared::default());
    for filter in &options.subscriptions {
        shared.outgoing().add_filter(filter.clone());
    }
    let (sender, receiver) = mpsc::channel(INBOX_MESSAGES);
    // Writing ends a little after reading was told to, so that last words get out.
    let written = CancellationToken::new();
    tokio::spawn(pump(shared.clone(), client.clone(), stop.clone(), written.clone()));
    let heard = Heard::default();
    let driver = Driver { options, shared: shared.clone(), client, sender, stop, written, heard };
    tokio::spawn(drive(driver, events));
    Ok((Bus { shared }, Inbox { receiver }))
}

fn mqtt_options(options: &Options) -> anyhow::Result<MqttOptions> {
    let url = &options.url;
    let host = match url.road() {
        Road::WebSocket | Road::WebSocketTls => url.websocket(),
        Road::Tcp | Road::Tls => url.host().to_owned(),
    };
    let mut mqtt = MqttOptions::new(&options.client_id, host, url.port());
    mqtt.set_transport(match url.road() {
        Road::Tcp => Transport::Tcp,
        Road::WebSocket => Transport::Ws,
        Road::Tls => Transport::Tls(tls()?.into()),
        Road::WebSocketTls => Transport::Wss(tls()?.into()),
    });
    mqtt.set_keep_alive(KEEP_ALIVE);
    mqtt.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    mqtt.set_inflight(100);
    if let Some((name, token)) = url.login() {
        mqtt.set_credentials(name, token);
    }
    if let Some((topic, payload)) = &options.will {
        mqtt.set_last_will(LastWill::new(
            topic.to_string(),
            payload.to_vec(),
            qos(topic),
            topic.is_retained(),
        ));
    }
    Ok(mqtt)
}

fn tls() -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    anyhow::ensure!(
        !roots.is_empty(),
        "no trusted certificates found on this system (Debian: install ca-certificates)"
    );
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("prepare TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn qos(topic: &Topic) -> QoS {
    if topic.qos() == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }
}

/// Moves what the program says to the client. The client's own queue is short, so that what waits, waits
/// where newer states replace older ones.
async fn pump(shared: Arc<Shared>, client: AsyncClient, stop: CancellationToken, written: CancellationToken) {
    let mut again = interval_at(Instant::now() + SAY_AGAIN, SAY_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = shared.outgoing().next();
        let taken = match next {
            Some(Next::Subscribe(filters)) => {
                let filter = |filter| SubscribeFilter::new(filter, QoS::AtLeastOnce);
                client.subscribe_many(filters.into_iter().map(filter)).await
            }
            Some(Next::Publish(topic, payload)) => {
                client.publish(topic.to_string(), qos(&topic), topic.is_retained(), payload).await
            }
            None if stop.is_cancelled() => break,
            None => {
                tokio::select! {
                    () = shared.news.notified() => {}
                    _ = again.tick() => shared.outgoing().say_again(),
                    () = stop.cancelled() => {}
                }
                Ok(())
            }
        };
        // Fails only when the driver is gone, and then nobody reads this any more.
        if taken.is_err() {
            break;
        }
    }
    written.cancel();
}

enum Next {
    Subscribe(Vec<String>),
    Publish(Topic, Bytes),
}

impl Outgoing {
    fn add_filter(&mut self, filter: String) {
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
        }
    }

    /// A new connection knows nothing of us yet.
    fn connected(&mut self) {
        self.connected = true;
        self.subscribed = 0;
        self.unanswered.clear();
        self.said = 0;
        self.queue = self.kept.keys().cloned().map(Queued::State).collect();
    }

    /// Lets every kept state go out once more, behind what waits already.
    fn say_again(&mut self) {
        if !self.connected {
            return;
        }
        for topic in self.kept.keys() {
            let waits = |queued: &Queued| matches!(queued, Queued::State(waiting) if waiting == topic);
            if !self.queue.iter().any(waits) {
                self.queue.push_back(Queued::State(topic.clone()));
            }
        }
    }

    /// What goes to the broker next: subscriptions, then everything in the order it was said.
    fn next(&mut self) -> Option<Next> {
        if !self.connected {
            return None;
        }
        let new = self.filters[self.subscribed..].to_vec();
        if !new.is_empty() {
            self.unanswered.push_back((self.subscribed, new.len()));
            self.subscribed = self.filters.len();
            return Some(Next::Subscribe(new));
        }
        match self.queue.pop_front()? {
            Queued::Said(topic, payload) => {
                self.said -= 1;
                Some(Next::Publish(topic, payload))
            }
            Queued::State(topic) => {
                let payload = self.kept.get(&topic).cloned()?;
                Some(Next::Publish(topic, payload))
            }
        }
    }

    /// The filters that the next answer to a SUBSCRIBE is about.
    fn answered(&mut self) -> Vec<String> {
        let (from, count) = self.unanswered.pop_front().unwrap_or_default();
        self.filters[from..from + count].to_vec()
    }
}

struct Driver {
    options: Options,
    shared: Arc<Shared>,
    client: AsyncClient,
    sender: mpsc::Sender<Incoming>,
    stop: CancellationToken,
    written: CancellationToken,
    heard: Heard,
}

/// States that came as they were said, on this connection. A broker that looks up what it retains while it passes on what is said
/// (NATS) may hand out the older one last.
#[derive(Debug, Default)]
struct Heard(BTreeSet<Topic>);

impl Heard {
    /// Whether a message tells more than is known: what was retained before a subscription is older than whatever came since.
    fn is_news(&mut self, topic: &Topic, retained: bool) -> bool {
        if retained {
            return !self.0.contains(topic);
        }
        if topic.is_retained() && self.0.len() < HEARD_MAX {
            self.0.insert(topic.clone());
        }
        true
    }
}

async fn drive(mut driver: Driver, mut events: EventLoop) {
    let mut retry = Retry::default();
    let stopped = driver.stop.clone();
    loop {
        let event = tokio::select! {
            event = events.poll() => event,
            () = stopped.cancelled() => break,
        };
        match event {
            Ok(event) => {
                retry = Retry::default();
                if driver.take(event).await.is_err() {
                    return; // The program dropped its inbox.
                }
            }
            Err(error) => {
                if driver.lose(&error).await.is_err() {
                    return;
                }
                let pause = retry.next(refused(&error));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stopped.cancelled() => break,
                }
            }
        }
    }
    // Nobody needs to hear more from us than what was said before the stop.
    if driver.shared.outgoing().connected {
        let farewell = async {
            tokio::select! {
                () = driver.written.cancelled() => {}
                () = async { while events.poll().await.is_ok() {} } => return,
            }
            if driver.client.try_disconnect().is_ok() {
                while let Ok(event) = events.poll().await {
                    if matches!(event, Event::Outgoing(rumqttc::Outgoing::Disconnect)) {
                        break;
                    }
                }
            }
        };
        // A broker that does not take our last words does not keep us.
        let _ = tokio::time::timeout(Duration::from_secs(2), farewell).await;
    }
}

/// The program is gone and nobody listens.
struct Gone;

impl Driver {
    async fn take(&mut self, event: Event) -> Result<(), Gone> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                tracing::info!(broker = %self.options.url, client.id = %self.options.client_id, "connected to the broker");
                self.heard = Heard::default();
                self.shared.outgoing().connected();
                self.shared.news.notify_one();
                self.pass(Incoming::Connected).await
            }
            Event::Incoming(Packet::Publish(publish)) => match read(&publish) {
                Some((topic, message)) if self.heard.is_news(&topic, publish.retain) => {
                    self.pass(Incoming::Message { topic, message, retained: publish.retain }).await
                }
                _ => Ok(()),
            },
            Event::Incoming(Packet::SubAck(ack)) => {
                let filters = self.shared.outgoing().answered();
                for (filter, code) in filters.iter().zip(&ack.return_codes) {
                    if matches!(code, rumqttc::SubscribeReasonCode::Failure) {
                        tracing::error!(
                            filter,
                            "the broker refuses this subscription: the token does not allow it"
                        );
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn lose(&self, error: &ConnectionError) -> Result<(), Gone> {
        let was_connected = std::mem::take(&mut self.shared.outgoing().connected);
        let broker = &self.options.url;
        match error {
            ConnectionError::ConnectionRefused(
                code @ (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized),
            ) => {
                tracing::error!(%broker, ?code, "the broker refuses our name or token; see `pika token list`");
            }
            error if was_connected => tracing::warn!(%broker, "the broker is gone: {error}; reconnecting"),
            error => tracing::warn!(%broker, "cannot reach the broker: {error}; trying on"),
        }
        if was_connected { self.pass(Incoming::Lost).await } else { Ok(()) }
    }

    async fn pass(&self, incoming: Incoming) -> Result<(), Gone> {
        tokio::select! {
            sent = self.sender.send(incoming) => sent.map_err(|_| Gone),
            // A program that is stopping reads no more.
            () = self.stop.cancelled() => Ok(()),
        }
    }
}

/// Bytes become types here. What cannot be read is answered with a line in the log: MQTT has no other way.
fn read(publish: &Publish) -> Option<(Topic, Message)> {
    let topic: Topic = match publish.topic.parse() {
        Ok(topic) => topic,
        Err(error) => {
            tracing::warn!("ignoring a message: {error}");
            return None;
        }
    };
    match Message::read(&topic, &publish.payload) {
        Ok(message) => Some((topic, message)),
        Err(error) => {
            let error = anyhow::Error::from(error);
            tracing::warn!(%topic, payload.bytes = publish.payload.len(), "ignoring a message: {error:#}");
            None
        }
    }
}

fn refused(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionRefused(_))
}

/// Waits that double, with jitter, so that a restarted broker is not met by everybody at once.
#[derive(Default)]
struct Retry {
    tries: u32,
}

impl Retry {
    fn next(&mut self, refused: bool) -> Duration {
        let longest = if refused { RETRY_LAST } else { RETRY_FIRST * 2u32.saturating_pow(self.tries.min(6)) };
        self.tries += 1;
        let mut byte = [0u8];
        // Without randomness the waits are merely less spread.
        let _ = getrandom::fill(&mut byte);
        longest.min(RETRY_LAST).mul_f64(0.5 + f64::from(byte[0]) / 510.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> Topic {
        text.parse().expect("a topic")
    }

    fn drain(outgoing: &mut Outgoing) -> Vec<String> {
        std::iter::from_fn(|| outgoing.next())
            .map(|next| match next {
                Next::Subscribe(filters) => format!("subscribe {}", filters.join(" ")),
                Next::Publish(topic, payload) => {
                    format!("{topic} {}", String::from_utf8_lossy(&payload))
                }
            })
            .collect()
    }

    #[test]
    fn what_was_retained_never_replaces_what_came_since() {
        let (mut heard, now) = (Heard::default(), topic("pika/v1/tonight/main/now"));
        assert!(heard.is_news(&now, true) && heard.is_news(&now, true), "a subscription may be repeated");
        assert!(heard.is_news(&now, false) && heard.is_news(&now, false));
        assert!(!heard.is_news(&now, true));
        assert!(heard.is_news(&topic("pika/v1/tonight/main/history"), true));
        // What merely happens is not retained, and not remembered.
        heard.is_news(&topic("pika/v1/tonight/main/event"), false);
        assert_eq!(heard.0.len(), 1);
    }

    #[test]
    fn filters_are_asked_for_once_a_connection_old_and_new_ones() {
        let mut outgoing = Outgoing::default();
        outgoing.add_filter("a".into());
        assert_eq!(drain(&mut outgoing), [""; 0], "there is nobody to ask");
        outgoing.connected();
        assert_eq!(drain(&mut outgoing), ["subscribe a"]);
        for filter in ["b", "c", "a"] {
            outgoing.add_filter(filter.into());
        }
        assert_eq!(drain(&mut outgoing), ["subscribe b c"]);
        assert_eq!(
            (outgoing.answered(), outgoing.answered()),
            (vec!["a".into()], vec!["b".into(), "c".into()])
        );
        assert!(outgoing.answered().is_empty(), "an answer that nobody asked for");
        outgoing.connected();
        assert_eq!(drain(&mut outgoing), ["subscribe a b c"]);
    }

    #[test]
    fn kept_states_are_said_again_and_what_happened_is_not() {
        let bus = Bus { shared: Arc::default() };
        let (info, now) = (topic("pika/v1/tonight/info"), topic("pika/v1/tonight/main/now"));
        let outgoing = || bus.shared.outgoing();
        bus.keep(info.clone(), "1");
        outgoing().say_again();
        outgoing().connected();
        assert!(bus.say(topic("pika/v1/tonight/main/event"), "happened"));
        assert_eq!(drain(&mut outgoing()), ["pika/v1/tonight/info 1", "pika/v1/tonight/main/event happened"]);
        bus.keep(now, "2");
        outgoing().say_again();
        let each_once = ["pika/v1/tonight/main/now 2", "pika/v1/tonight/info 1"];
        assert_eq!(drain(&mut outgoing()), each_once);
        bus.keep(info, "3");
        outgoing().say_again();
        assert_eq!(drain(&mut outgoing()), ["pika/v1/tonight/info 3", "pika/v1/tonight/main/now 2"]);
    }
}
