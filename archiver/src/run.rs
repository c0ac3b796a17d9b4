//! Moves messages from the bus to the floors and the store, and what they decide back to the bus.

use std::collections::HashMap;
use std::time::Duration;

use bus::{BrokerUrl, Bus, Incoming};
use config::clock::{now_ms, seed};
use config::health::Part;
use config::{Health, Stop};
use protocol::topic::filter;
use protocol::{Audience, Cursor, DeskId, DeskState, DeskTopic, Dj, FloorAddress, FloorEvent, FloorInfo};
use protocol::{FloorTopic, History, IdSource, Info, JournalId, Message, NowField, NowPlaying, NowState};
use protocol::{PastPlay, PlayReport, ProducerId, Reactions, TempoTally, Topic, V1, message};
use store::{CursorRow, PlayRow, Record, SetRow, Store};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::batch::{Batch, Position, Transaction, Waiting};
use crate::floor::{Floor, Happening, Now};
use crate::frontier::{Arrival, Frontier};
use crate::settings::{EventSettings, Settings};

/// How long archive and desks may take to answer at the start before floors are published without them.
const RESTORE_PATIENCE_MS: i64 = 2_000;

/// Desks that are asked for by name.
const NAMED_DESKS_MAX: usize = 32;

/// How long after a connect the broker may take to hand out what desks have said.
const HEARD_WITHIN_MS: i64 = 500;

/// Web apps whose listeners are counted.
const WEBAPPS_MAX: usize = 64;

/// Runs until stopped. The database may be away, at the start as well: floors stay live from what desks
/// and retained messages say, and reports wait in memory, then with the desks.
///
/// # Errors
/// The schema cannot be migrated, or TLS to the broker cannot be set up.
pub async fn run(
    event: EventSettings,
    settings: Settings,
    store: Store,
    broker: BrokerUrl,
    health: Health,
    stop: Stop,
) -> anyhow::Result<()> {
    let floors: Vec<FloorAddress> =
        event.floors.iter().map(|floor| FloorAddress::new(event.id.clone(), floor.id.clone())).collect();
    let mut subscriptions =
        vec![filter::desks(&event.id), filter::inputs(&event.id), filter::audiences(&event.id)];
    // What was published before we were started, for the case that the database is away.
    for floor in &floors {
        subscriptions.push(floor.topic(FloorTopic::Now).to_string());
        subscriptions.push(floor.topic(FloorTopic::History).to_string());
    }
    let options =
        bus::Options { url: broker, client_id: format!("archiver-{}", event.id), subscriptions, will: None };
    // Our own token: last words are said after the loop has ended.
    let bus_stop = Stop::new();
    let (bus, mut inbox) = bus::open(options, bus_stop.clone())?;

    let (done_sender, mut done) = mpsc::channel(4);
    let needs =
        Needs { broker: health.part("archiver to broker"), database: health.part("archiver to database") };
    let restoring =
        restore(store.clone(), event.clone(), floors.clone(), needs.database.clone(), done_sender.clone());
    tokio::spawn(restoring);

    let mut archiver = Archiver::new(event, &settings, floors, bus, store, done_sender, needs);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            incoming = inbox.next() => match incoming {
                Some(incoming) => {
                    archiver.incoming(incoming);
                    // What is there already belongs into the same transaction.
                    while let Some(more) = inbox.try_next() {
                        archiver.incoming(more);
                    }
                }
                None => break,
            },
            Some(finished) = done.recv() => archiver.finished(finished)?,
            _ = tick.tick() => archiver.tick(),
            () = stop.cancelled() => break,
        }
        archiver.store_next();
    }
    archiver.finish(&mut done).await;
    bus_stop.cancel();
    while inbox.next().await.is_some() {}
    Ok(())
}

/// What background work brings back.
#[derive(Debug)]
enum Finished {
    Restored(Box<Restored>),
    /// The schema is not what we can work with; waiting will not change that.
    Hopeless(anyhow::Error),
    Stored {
        result: Result<(), store::Error>,
        cursors: Vec<CursorRow>,
    },
}

#[derive(Debug)]
struct Restored {
    cursors: Vec<CursorRow>,
    floors: Vec<RestoredFloor>,
}

#[derive(Debug)]
struct RestoredFloor {
    address: FloorAddress,
    plays: Vec<(DeskId, PastPlay)>,
    last_set: Option<SetRow>,
}

/// Migrates and reads what floors and cursors were, trying until the database is there.
async fn restore(
    store: Store,
    event: EventSettings,
    floors: Vec<FloorAddress>,
    health: Part,
    done: mpsc::Sender<Finished>,
) {
    let mut wait = Duration::from_millis(250);
    loop {
        let outcome = match try_restore(&store, &event, &floors).await {
            Ok(restored) => Finished::Restored(Box::new(restored)),
            Err(store::Error::Away(error)) => {
                health.lacks(error.to_string());
                tracing::warn!("the database is away: {error}; phones stay live, reports wait");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(5));
                continue;
            }
            Err(error) => Finished::Hopeless(error.into()),
        };
        // The receiver is gone when the archiver stopped meanwhile.
        let _ = done.send(outcome).await;
        return;
    }
}

async fn try_restore(
    store: &Store,
    event: &EventSettings,
    floors: &[FloorAddress],
) -> Result<Restored, store::Error> {
    store.migrate().await?;
    let directory = store::Event {
        id: event.id.clone(),
        name: event.name.clone(),
        time_zone: event.time_zone.clone(),
        accent: event.accent.clone(),
        floors: event
            .floors
            .iter()
            .map(|f| store::Floor { id: f.id.clone(), name: f.name.clone() })
            .collect(),
    };
    store.add_event(&directory, now_ms()).await?;
    let mut restored = Restored { cursors: store.cursors(&event.id).await?, floors: Vec::new() };
    for floor in floors {
        let plays = store.recent(floor, crate::floor::HISTORY_PLAYS as u32 + 1).await?;
        let last_set = store.last_set(floor).await?;
        restored.floors.push(RestoredFloor { address: floor.clone(), plays, last_set });
    }
    Ok(restored)
}

struct Archiver {
    event: EventSettings,
    bus: Bus,
    store: Store,
    done: mpsc::Sender<Finished>,
    ids: IdSource,
    floors: HashMap<FloorAddress, Live>,
    frontier: Frontier,
    batch: Batch,
    /// What each cursor says, by producer and journal: only what is committed.
    cursors: HashMap<(ProducerId, JournalId), u64>,
    audiences: HashMap<ProducerId, Audience>,
    /// Desks we know to be part of the event.
    desks: HashMap<(FloorAddress, DeskId), Heard>,
    connected_ms: Option<i64>,
    /// The schema is there, so records may be written.
    restored: bool,
    /// Before this, floors are not published unless archive and desks have answered.
    publish_from_ms: i64,
    /// The last time the log said that reports are refused.
    full_logged_ms: i64,
    health: Needs,
}

/// What has to be there for the archive to be kept.
struct Needs {
    broker: Part,
    database: Part,
}

/// What a desk has said of itself since the last connect.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    status: bool,
    state: bool,
    /// It was asked for by name.
    asked: bool,
}

impl Heard {
    fn all(self) -> bool {
        self.status && self.state
    }
}

/// A floor and what of it was published last.
struct Live {
    floor: Floor,
    now: Option<Now>,
    history: Vec<PastPlay>,
    history_told: bool,
    reactions: Option<Reactions>,
}

impl Archiver {
    fn new(
        event: EventSettings,
        settings: &Settings,
        floors: Vec<FloorAddress>,
        bus: Bus,
        store: Store,
        done: mpsc::Sender<Finished>,
        health: Needs,
    ) -> Self {
        let live = || Live {
            floor: Floor::new(settings.signal_grace_ms),
            now: None,
            history: Vec::new(),
            history_told: false,
            reactions: None,
        };
        let mut archiver = Self {
            bus,
            store,
            done,
            ids: IdSource::seeded(seed()),
            floors: floors.into_iter().map(|floor| (floor, live())).collect(),
            frontier: Frontier::default(),
            batch: Batch::new(settings.waiting_records_max),
            cursors: HashMap::new(),
            audiences: HashMap::new(),
            desks: HashMap::new(),
            connected_ms: None,
            restored: false,
            publish_from_ms: now_ms() + RESTORE_PATIENCE_MS,
            full_logged_ms: 0,
            health,
            event,
        };
        archiver.tell_info();
        archiver
    }

    fn tell_info(&mut self) {
        let now_ms = now_ms();
        let info = Info {
            v: V1,
            id: self.ids.message(now_ms),
            at_ms: now_ms,
            event: self.event.id.clone(),
            name: self.event.name.clone(),
            time_zone: self.event.time_zone.clone(),
            accent: self.event.accent.clone(),
            floors: self
                .event
                .floors
                .iter()
                .map(|f| FloorInfo { id: f.id.clone(), name: f.name.clone() })
                .collect(),
            web_url: self.event.web_url.clone(),
            versions: vec![1],
        };
        self.bus.keep(Topic::Info(self.event.id.clone()), message::write(&info));
    }

    fn incoming(&mut self, incoming: Incoming) {
        let (topic, message, retained) = match incoming {
            Incoming::Message { topic, message, retained } => (topic, message, retained),
            Incoming::Connected => {
                self.connected_ms = Some(now_ms());
                self.health.broker.ready();
                self.desks.values_mut().for_each(|heard| *heard = Heard::default());
                return;
            }
            Incoming::Lost => {
                self.health.broker.lacks("the connection is lost, and tried again");
                return self.connected_ms = None;
            }
        };
        match (topic, message) {
            (Topic::Floor(address, about), message) => self.floor_message(address, about, message, retained),
            (Topic::Audience(_, webapp), Message::Audience(audience))
                if self.audiences.len() < WEBAPPS_MAX || self.audiences.contains_key(&webapp) =>
            {
                self.audiences.insert(webapp, audience);
            }
            (Topic::Audience(_, webapp), Message::Cleared) => drop(self.audiences.remove(&webapp)),
            _ => {}
        }
    }

    fn floor_message(&mut self, address: FloorAddress, about: FloorTopic, message: Message, retained: bool) {
        let now_ms = now_ms();
        if !self.floors.contains_key(&address) {
            tracing::warn!(floor = %address, "a message for a floor that this event does not have");
            return;
        }
        if let FloorTopic::Desk(desk, about) = &about {
            self.know(&address, desk);
            let heard = self.desks.entry((address.clone(), desk.clone()));
            heard.and_modify(|heard| match about {
                DeskTopic::Status => heard.status = true,
                DeskTopic::State => heard.state = true,
                DeskTopic::Play => {}
            });
        }
        if let (FloorTopic::Desk(desk, DeskTopic::Play), Message::Play(report)) = (&about, &message) {
            self.accept(&address, desk, report, now_ms);
        }
        if let (FloorTopic::Desk(desk, DeskTopic::State), Message::DeskState(state)) = (&about, &message) {
            self.remember_set(&address, desk, state);
        }
        let Some(live) = self.floors.get_mut(&address) else { return };
        let happenings = match (about, message) {
            (FloorTopic::Desk(desk, DeskTopic::Status), Message::DeskStatus(presence)) => {
                live.floor.desk_status(&desk, presence, now_ms)
            }
            (FloorTopic::Desk(desk, DeskTopic::State), Message::DeskState(state)) => {
                live.floor.desk_state(&desk, state, now_ms)
            }
            (FloorTopic::Desk(desk, _), Message::Cleared) => live.floor.desk_removed(&desk, now_ms),
            (FloorTopic::Desk(desk, DeskTopic::Play), Message::Play(report)) => {
                live.floor.play(&desk, &report, now_ms)
            }
            (FloorTopic::Now, Message::Now(now)) if retained && live.now.is_none() => {
                if let (Some(play), Some(dj), Some(set_id)) = (now.play, now.dj.clone(), now.set_id) {
                    let past = PastPlay { set_id, dj: now.dj, play };
                    live.floor.restore(vec![(dj.id, past)], None, now_ms);
                }
                Vec::new()
            }
            (FloorTopic::History, Message::History(history)) if retained && !live.history_told => {
                let plays = history.plays.into_iter().filter_map(|past| Some((past.dj.clone()?.id, past)));
                live.floor.restore(plays.collect(), None, now_ms);
                Vec::new()
            }
            _ => return,
        };
        self.publish(&address, happenings, now_ms);
    }

    fn know(&mut self, address: &FloorAddress, desk: &DeskId) {
        if self.desks.len() < NAMED_DESKS_MAX {
            self.desks.entry((address.clone(), desk.clone())).or_default();
        }
    }

    /// A broker that hands out no retained message to a wildcard, as RabbitMQ, tells us nothing of desks that
    /// spoke before we came. Whom we know and have not heard of is asked for by name.
    fn ask_for_desks(&mut self, now_ms: i64) {
        if self.connected_ms.is_none_or(|since| now_ms - since < HEARD_WITHIN_MS) {
            return;
        }
        for ((address, desk), heard) in &mut self.desks {
            if heard.all() || std::mem::replace(&mut heard.asked, true) {
                continue;
            }
            for about in [DeskTopic::Status, DeskTopic::State] {
                self.bus.subscribe(address.topic(FloorTopic::Desk(desk.clone(), about)).to_string());
            }
        }
    }

    /// Lets a report wait for its transaction. If something before it is missing, or there is no room, it
    /// is not stored now: the cursor stands still and the desk sends it again. The floor shows it anyway.
    fn accept(&mut self, address: &FloorAddress, desk: &DeskId, report: &PlayReport, now_ms: i64) {
        let producer = ProducerId::from(desk.clone());
        if self.batch.is_full() {
            if now_ms - self.full_logged_ms > 10_000 {
                self.full_logged_ms = now_ms;
                let waiting = self.batch.len();
                tracing::error!(
                    waiting.records = waiting,
                    "no reports are taken until the database is back; desks keep them"
                );
            }
            return;
        }
        match self.frontier.arrive(&producer, report.journal, report.seq, report.held_from) {
            Arrival::Next => {}
            Arrival::Known { .. } => return self.tell_cursor(&producer, report.journal, now_ms),
            Arrival::Gap { missing } => {
                tracing::debug!(desk = %desk, seq = report.seq, missing, "waiting for an earlier report");
                return;
            }
        }
        self.batch.push(Waiting {
            record: Record::Play(Box::new(PlayRow {
                floor: address.clone(),
                desk: desk.clone(),
                report: report.clone(),
            })),
            position: Some(Position {
                event: address.event.clone(),
                producer,
                journal: report.journal,
                seq: report.seq,
            }),
        });
    }

    /// A set that has begun or ended without a play of its own to say so.
    fn remember_set(&mut self, address: &FloorAddress, desk: &DeskId, state: &DeskState) {
        let Some(set) = &state.set else { return };
        // When memory is full the set still comes with its plays.
        if !self.batch.is_full() {
            self.batch.push(Waiting {
                record: Record::Set(SetRow {
                    floor: address.clone(),
                    desk: desk.clone(),
                    id: set.id,
                    dj: set.dj.clone(),
                    started_ms: set.started_ms,
                    ended_ms: (!state.on_air).then_some(state.at_ms),
                }),
                position: None,
            });
        }
    }

    fn tick(&mut self) {
        let now_ms = now_ms();
        self.ask_for_desks(now_ms);
        let addresses: Vec<FloorAddress> = self.floors.keys().cloned().collect();
        for address in addresses {
            if let Some(live) = self.floors.get_mut(&address) {
                let happenings = live.floor.tick(now_ms);
                self.publish(&address, happenings, now_ms);
                self.publish_reactions(&address, now_ms);
            }
        }
    }

    /// Says what changed about a floor, and nothing else.
    fn publish(&mut self, address: &FloorAddress, happenings: Vec<Happening>, now_ms: i64) {
        let Some(live) = self.floors.get_mut(address) else { return };
        // Just started: without the archive, or without what its desks say, a floor would look silent.
        let unheard =
            |((floor, _), heard): (&(FloorAddress, DeskId), &Heard)| floor == address && !heard.all();
        let complete = self.restored && (live.now.is_some() || !self.desks.iter().any(unheard));
        if !complete && now_ms < self.publish_from_ms {
            return;
        }
        let now = live.floor.now().clone();
        if live.now.as_ref() != Some(&now) {
            let payload = NowPlaying {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: now_ms,
                state: now.state,
                play: now.play.clone(),
                dj: now.dj.clone(),
                set_id: now.set_id,
                stale_after_ms: now.stale_after_ms,
            };
            self.bus.keep(address.topic(FloorTopic::Now), message::write(&payload));
            for field in NowField::ALL {
                let text = field_text(field, &now);
                if live.now.as_ref().map(|before| field_text(field, before)) != Some(text.clone()) {
                    self.bus.keep(address.topic(FloorTopic::NowField(field)), text);
                }
            }
            if live.now.as_ref().and_then(|n| n.play.as_ref()) != now.play.as_ref() {
                let title = now.play.as_ref().map(|play| play.track.line()).unwrap_or_default();
                tracing::info!(floor = %address, state = now.state.as_str(), track = %title, "now");
            }
            live.now = Some(now);
        }
        let history = live.floor.history();
        if !live.history_told || live.history != history {
            let payload =
                History { v: V1, id: self.ids.message(now_ms), at_ms: now_ms, plays: history.clone() };
            self.bus.keep(address.topic(FloorTopic::History), message::write(&payload));
            live.history = history;
            live.history_told = true;
        }
        for happening in happenings {
            let payload = FloorEvent {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: now_ms,
                event_type: happening.event_type,
                play: happening.play,
                set_id: happening.set_id,
                dj: happening.dj,
                count: None,
            };
            // A light that comes late must not fire: unsaid while the broker is away, it stays unsaid.
            let _ = self.bus.say(address.topic(FloorTopic::Event), message::write(&payload));
        }
    }

    fn publish_reactions(&mut self, address: &FloorAddress, now_ms: i64) {
        let sockets = self.audiences.values().filter_map(|audience| audience.sockets.get(&address.floor));
        let listeners = sockets.fold(0u32, |sum, sockets| sum.saturating_add(*sockets));
        let Some(live) = self.floors.get_mut(address) else { return };
        let play_id = live.now.as_ref().and_then(|now| now.play.as_ref()).map(|play| play.id);
        let same = live
            .reactions
            .as_ref()
            .is_some_and(|told| told.listeners == listeners && told.play_id == play_id);
        if same || live.now.is_none() {
            return;
        }
        let reactions = Reactions {
            v: V1,
            id: self.ids.message(now_ms),
            at_ms: now_ms,
            play_id,
            likes: 0,
            tempo: TempoTally::default(),
            thanks: 0,
            listeners,
        };
        self.bus.keep(address.topic(FloorTopic::Reactions), message::write(&reactions));
        live.reactions = Some(reactions);
    }

    /// Starts the next transaction, if it is time.
    fn store_next(&mut self) {
        if !self.restored {
            return;
        }
        if let Some(Transaction { records, cursors }) = self.batch.begin(now_ms()) {
            let (store, done) = (self.store.clone(), self.done.clone());
            tokio::spawn(async move {
                let result = store.record(&records, &cursors).await;
                let _ = done.send(Finished::Stored { result, cursors }).await;
            });
        }
    }

    fn finished(&mut self, finished: Finished) -> anyhow::Result<()> {
        let now_ms = now_ms();
        match finished {
            Finished::Restored(restored) => self.restore(*restored, now_ms),
            Finished::Hopeless(error) => return Err(error.context("prepare the database")),
            Finished::Stored { result: Ok(()), cursors } => {
                self.batch.committed();
                self.health.database.ready();
                for cursor in cursors {
                    self.cursors.insert((cursor.producer.clone(), cursor.journal), cursor.seq);
                    self.tell_cursor(&cursor.producer, cursor.journal, now_ms);
                }
            }
            Finished::Stored { result: Err(store::Error::Away(error)), .. } => {
                let wait_ms = self.batch.failed(now_ms);
                self.health.database.lacks(error.to_string());
                tracing::warn!(
                    waiting.records = self.batch.len(),
                    "the database is away: {error}; next try in {wait_ms} ms"
                );
            }
            Finished::Stored { result: Err(error), .. } => {
                let error = anyhow::Error::from(error);
                match self.batch.refused() {
                    None => {
                        tracing::warn!("a transaction was refused: {error:#}; trying its records one by one")
                    }
                    Some(lost) => {
                        tracing::error!(position = ?lost.position, "a record was refused and is left out: {error:#}")
                    }
                }
            }
        }
        Ok(())
    }

    fn restore(&mut self, restored: Restored, now_ms: i64) {
        tracing::info!(cursors = restored.cursors.len(), "the archive is open");
        self.restored = true;
        self.health.database.ready();
        for cursor in restored.cursors {
            self.frontier.restore(cursor.producer.clone(), cursor.journal, cursor.seq);
            self.cursors.insert((cursor.producer.clone(), cursor.journal), cursor.seq);
            // The one that moved last comes last, and is the one that stays.
            self.tell_cursor(&cursor.producer, cursor.journal, now_ms);
        }
        for RestoredFloor { address, plays, last_set } in restored.floors {
            for desk in plays.iter().map(|(desk, _)| desk).chain(last_set.as_ref().map(|set| &set.desk)) {
                self.know(&address, desk);
            }
            if let Some(live) = self.floors.get_mut(&address) {
                let ended = last_set.filter(|set| set.ended_ms.is_some()).map(|set| {
                    let name = set.dj.unwrap_or_else(|| set.desk.to_string());
                    (set.id, Some(Dj { id: set.desk, name }))
                });
                live.floor.restore(plays, ended, now_ms);
            }
            self.publish(&address, Vec::new(), now_ms);
        }
    }

    fn tell_cursor(&mut self, producer: &ProducerId, journal: JournalId, now_ms: i64) {
        let Some(seq) = self.cursors.get(&(producer.clone(), journal)).copied() else { return };
        let cursor = Cursor {
            v: V1,
            id: self.ids.message(now_ms),
            at_ms: now_ms,
            producer: producer.clone(),
            journal,
            seq,
        };
        self.bus.keep(Topic::Cursor(self.event.id.clone(), producer.clone()), message::write(&cursor));
    }

    /// Stores what has come in, so that the cursors are final. Gives up after a few seconds: what is not
    /// stored is still with the desks.
    async fn finish(&mut self, done: &mut mpsc::Receiver<Finished>) {
        let all = async {
            while self.restored && !self.batch.is_empty() {
                self.store_next();
                tokio::select! {
                    Some(finished) = done.recv() => if self.finished(finished).is_err() { return },
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(3), all).await.is_err() {
            tracing::warn!(
                waiting.records = self.batch.len(),
                "stopping with reports that are not stored; desks keep them"
            );
        }
    }
}

fn field_text(field: NowField, now: &Now) -> String {
    let track = now.play.as_ref().map(|play| &play.track);
    match field {
        NowField::Title => track.map(|track| track.display_title()),
        NowField::Artist => track.and_then(|track| track.artist.clone()),
        NowField::Text => track.map(|track| track.line()),
        NowField::Bpm => track.and_then(|track| track.bpm).map(|bpm| bpm.to_string()),
        NowField::Key => track.and_then(|track| track.key.clone()),
        NowField::Dj => now.dj.as_ref().filter(|_| now.state != NowState::Ended).map(|dj| dj.name.clone()),
        NowField::State => Some(now.state.as_str().to_owned()),
        NowField::CoverUrl => None,
    }
    .unwrap_or_default()
}
