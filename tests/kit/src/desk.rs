//! A desk that says its plays itself, as a publisher would, without a DJ program to read.

use bus::Bus;
use config::clock::now_ms;
use protocol::{DeskId, DeskState, DeskTopic, FloorAddress, FloorTopic, IdSource, JournalId, Play, PlayId};
use protocol::{PlayKind, PlayReport, SetRef, Track, V1, message};

use crate::{Database, Pika, process, wait};

/// A connected desk on the floor `tonight/main`.
#[derive(Debug)]
pub struct Desk {
    id: DeskId,
    floor: FloorAddress,
    bus: Bus,
    ids: IdSource,
    set: SetRef,
    journal: JournalId,
    seq: u64,
}

impl Desk {
    /// Adds a token of that name and logs in with it.
    pub async fn open(pika: &Pika, database: &Database, name: &str) -> Self {
        let token = process::add_token(&pika.data, database, name, &["desk"]);
        let options = bus::Options {
            url: format!("mqtt://{name}:{token}@{}", pika.mqtt).parse().unwrap(),
            client_id: name.into(),
            subscriptions: Vec::new(),
            will: None,
        };
        let (bus, mut inbox) = bus::open(options, config::Stop::new()).unwrap();
        tokio::spawn(async move { while inbox.next().await.is_some() {} });
        wait::until_some("the broker to know the token", || bus.is_connected().then_some(())).await;
        let (id, floor): (DeskId, FloorAddress) = (name.parse().unwrap(), "tonight/main".parse().unwrap());
        bus.keep(floor.topic(FloorTopic::Desk(id.clone(), DeskTopic::Status)), "online");
        let mut ids = IdSource::seeded(1);
        let set = SetRef { id: ids.set(now_ms()), started_ms: now_ms(), dj: None };
        let journal = JournalId::at(now_ms(), [7; 10]);
        Self { id, floor, bus, ids, set, journal, seq: 0 }
    }

    /// Says that a track of this title is on. `false` when too much waits to be sent.
    #[must_use]
    pub fn plays(&mut self, title: &str) -> bool {
        let play = Play {
            id: PlayId::derived(&self.id, "bench", title),
            started_ms: now_ms(),
            ended_ms: None,
            track: Track {
                title: Some(title.to_owned()),
                artist: Some("Nova Harbor".into()),
                ..Track::default()
            },
        };
        let state = DeskState {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            on_air: true,
            hidden: false,
            set: Some(self.set.clone()),
            play_id: Some(play.id),
            source: None,
            app: "bench".into(),
            queue_depth: 0,
            answered: None,
        };
        let seq = self.seq + 1;
        let report = PlayReport {
            v: V1,
            id: self.ids.message(now_ms()),
            at_ms: now_ms(),
            journal: self.journal,
            seq,
            held_from: seq,
            kind: PlayKind::Started,
            set: self.set.clone(),
            play,
            set_ended: false,
        };
        let topic = |about| self.floor.topic(FloorTopic::Desk(self.id.clone(), about));
        self.bus.keep(topic(DeskTopic::State), message::write(&state));
        if !self.bus.say(topic(DeskTopic::Play), message::write(&report)) {
            return false;
        }
        self.seq = seq;
        true
    }
}
