//! Moves messages from the bus to the floors and the store, and what they decide back to the bus.

mod console;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bus::{BrokerUrl, Bus, Incoming};
use config::clock::{now_ms, seed};
use config::health::Part;
use config::{Health, Stop};
use protocol::topic::filter;
use protocol::{
    Announcement, Audience, Cover, Cursor, DeskId, DeskState, DeskTopic, Dj, FloorAddress, FloorEvent,
    FloorInfo,
};
use protocol::{
    FloorTopic, History, IdSource, Info, Input, InputReport, JournalId, Jpeg, Message, MessageId, NowField,
    NowPlaying,
};
use protocol::{NowState, PastPlay, PlayId, PlayReport, ProducerId, Reactions, Topic, V1, message};
use store::{
    AnnouncementRow, CoverRow, CursorRow, DeskRow, PlayRow, Reaction, ReactionRow, Record, SetRow, Store,
    Tally,
};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::announced::Announced;
use crate::batch::{Batch, Position, Transaction, Waiting};
use crate::counters::{Counters, Failed};
use crate::crowd::Crowd;
use crate::floor::{Floor, Happening, Now};
use crate::frontier::{Arrival, Frontier};
use crate::lag::Lag;
use crate::polls::{Polls, Shown};
use crate::requests::Requests;
use crate::settings::{EventSettings, Settings};
use crate::skew::Skew;
use crate::standing::{RENEW_EVERY, Restored, RestoredFloor, Standing, changed, take_up};
use crate::voices::{ROWS_MAX, Voices};

/// How long archive and desks may take to answer at the start before floors are published without them.
const RESTORE_PATIENCE_MS: i64 = 2_000;

/// Desks that are asked for by name.
const NAMED_DESKS_MAX: usize = 32;

/// How long after a connect the broker may take to hand out what desks have said.
const HEARD_WITHIN_MS: i64 = 500;

/// A desk's clock that differs by more gets a line in the log, and how often.
const SKEW_WORTH_A_LINE_MS: i64 = 5_000;
const SKEW_LOG_EVERY_MS: i64 = 10 * 60_000;

/// How often what runs at a desk is stored.
const DESK_NOTED_EVERY_MS: i64 = 60_000;

/// Messages taken in before transactions and the clock get their turn.
const TURN_MESSAGES: usize = 256;

/// How often the database is asked whether the event has other floors or another name.
const DIRECTORY_EVERY_MS: i64 = 3_000;

const DAY_MS: i64 = 86_400_000;
const FOLD_EVERY_MS: i64 = DAY_MS;

/// Web apps whose listeners are counted.
const WEBAPPS_MAX: usize = 64;

/// Runs until stopped. The database may be away, at the start as well: floors stay live from what desks
/// and retained messages say, and reports wait in memory, then with the desks.
///
/// # Errors
/// The schema cannot be migrated, or TLS to the broker cannot be set up.
pub async fn run(
    mut event: EventSettings,
    settings: Settings,
    store: Store,
    broker: BrokerUrl,
    health: Health,
    stop: Stop,
) -> anyhow::Result<()> {
    let mut counters = Counters::default();
    health.register(|registry| counters.register(registry));
    let health = Needs {
        broker: health.part("archiver to broker"),
        database: health.part("archiver to database"),
        lease: health.part("archiver's lease"),
    };
    // Floors change a few times a year. To begin anew is what we can do at any moment anyway, and loses nothing.
    while let Some(changed) = serve(&event, &settings, &store, &broker, &health, &mut counters, &stop).await?
    {
        let floors: Vec<&str> = changed.floors.iter().map(|floor| floor.id.as_str()).collect();
        tracing::info!(floors = floors.join(","), "the event has changed");
        event = event.changed_to(changed);
    }
    Ok(())
}

/// Serves the event as it is now, until stopped or until it is another one in the database.
async fn serve(
    event: &EventSettings,
    settings: &Settings,
    store: &Store,
    broker: &BrokerUrl,
    health: &Needs,
    counters: &mut Counters,
    stop: &Stop,
) -> anyhow::Result<Option<store::Event>> {
    let floors: Vec<FloorAddress> =
        event.floors.iter().map(|floor| FloorAddress::new(event.id.clone(), floor.id.clone())).collect();
    let mut subscriptions =
        vec![filter::desks(&event.id), filter::inputs(&event.id), filter::audiences(&event.id)];
    // Another archiver may have taken over.
    subscriptions.push(Topic::Info(event.id.clone()).to_string());
    // What was published before we were started, for the case that the database is away.
    for floor in &floors {
        for about in [FloorTopic::Now, FloorTopic::History, FloorTopic::Announcement, FloorTopic::Poll] {
            subscriptions.push(floor.topic(about).to_string());
        }
    }
    // Two archivers must not take each other's connection for their own.
    let client_id = format!("archiver-{}-{:08x}", event.id, seed() >> 32);
    let options = bus::Options { url: broker.clone(), client_id, subscriptions, will: None };
    // Our own token: last words are said after the loop has ended.
    let bus_stop = Stop::new();
    let (bus, mut inbox) = bus::open(options, bus_stop.clone())?;

    let (done_sender, mut done) = mpsc::channel(4);
    let mut archiver =
        Archiver::new(event.clone(), settings, floors, bus, store.clone(), done_sender, health.clone());
    archiver.counters = std::mem::take(counters);
    archiver.wait_for_our_turn();
    let mut renewing = tokio::time::interval(RENEW_EVERY);
    renewing.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            incoming = inbox.next() => match incoming {
                Some(incoming) => {
                    archiver.incoming(incoming);
                    // What is there already belongs into the same transaction, and is said as one change.
                    for _ in 1..TURN_MESSAGES {
                        let Some(more) = inbox.try_next() else { break };
                        archiver.incoming(more);
                    }
                    archiver.publish_changed();
                }
                None => break,
            },
            Some(finished) = done.recv() => archiver.finished(finished)?,
            _ = tick.tick() => archiver.tick(),
            _ = renewing.tick() => archiver.renew(),
            () = stop.cancelled() => break,
        }
        if archiver.directory.is_some() {
            break;
        }
        archiver.store_next();
    }
    archiver.finish(&mut done).await;
    let changed = archiver.directory.take();
    if let Some(changed) = &changed {
        archiver.clear_floors_but(changed);
    }
    *counters = archiver.counters;
    bus_stop.cancel();
    while inbox.next().await.is_some() {}
    Ok(changed)
}

/// What background work brings back.
#[derive(Debug)]
pub(crate) enum Finished {
    Restored(Box<Restored>),
    /// The event is another one in the database than it is for us.
    Directory(store::Event),
    /// Another archiver has the lease.
    Another,
    /// The database is away, and was since we began to wait for our turn.
    Away,
    /// The schema is not what we can work with; waiting will not change that.
    Hopeless(anyhow::Error),
    Stored {
        turn: u64,
        asked: Instant,
        result: Result<(), store::Error>,
        records: usize,
        cursors: Vec<CursorRow>,
    },
    Renewed {
        turn: u64,
        asked: Instant,
        result: Result<bool, store::Error>,
    },
    Reactions {
        floor: FloorAddress,
        play: PlayId,
        result: Result<(Vec<ReactionRow>, Tally), store::Error>,
    },
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
    /// Floors that messages of this turn are about, and what happened there.
    changed: HashMap<FloorAddress, Vec<Happening>>,
    /// Desks we know to be part of the event.
    desks: HashMap<(FloorAddress, DeskId), Heard>,
    connected_ms: Option<i64>,
    standing: Standing,
    /// Counts our turns, so that what was begun in an earlier one is told from what is under way.
    turn: u64,
    is_renewing: bool,
    /// The archive is open, so records may be written.
    restored: bool,
    /// Before this, floors are not published unless archive and desks have answered.
    publish_from_ms: i64,
    /// The last time the log said that reports are refused.
    full_logged_ms: i64,
    /// The last time the log named a floor that is none of ours.
    stranger_logged_ms: i64,
    /// The last time the log named an input that was left out.
    refused_logged_ms: i64,
    keep_reactions_days: Option<u32>,
    folded_ms: i64,
    /// When the database was last asked what the event is.
    directory_asked_ms: i64,
    /// What it has become.
    directory: Option<store::Event>,
    health: Needs,
    lag: Lag,
    counters: Counters,
}

/// What has to be there for the archive to be kept.
#[derive(Clone)]
struct Needs {
    broker: Part,
    database: Part,
    /// While another archiver has it, the night is on record all the same, but not by this process.
    lease: Part,
}

/// What a desk has said of itself since the last connect.
#[derive(Debug, Clone, Default)]
struct Heard {
    status: bool,
    state: bool,
    /// It was asked for by name.
    asked: bool,
    skew: Skew,
    skew_logged_ms: i64,
    noted_ms: i64,
    /// What is noted of it: source, app, and whether its clock is known.
    noted: Option<(Option<String>, String, bool)>,
}

impl Heard {
    fn all(&self) -> bool {
        self.status && self.state
    }
}

/// The place of a message in its producer's journal.
#[derive(Debug, Clone)]
struct Numbered {
    producer: ProducerId,
    journal: JournalId,
    seq: u64,
    held_from: u64,
}

/// What became of a numbered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    New,
    /// It is stored, or about to be.
    Before,
    /// Its producer sends it again later.
    Later,
}

/// A floor and what of it was published last.
struct Live {
    floor: Floor,
    now: Option<Now>,
    history: Vec<PastPlay>,
    history_told: bool,
    reactions: Option<Reactions>,
    voices: Voices,
    /// The play whose reactions the archive is being asked for.
    asked_about: Option<PlayId>,
    crowd: Crowd,
    announced: Announced,
    /// `Some(None)`: that there is none.
    announcement_told: Option<Option<MessageId>>,
    polls: Polls,
    poll_told: Option<Option<Shown>>,
    requests: Requests,
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
            voices: Voices::default(),
            asked_about: None,
            crowd: Crowd::default(),
            announced: Announced::default(),
            announcement_told: None,
            polls: Polls::default(),
            poll_told: None,
            requests: Requests::default(),
        };
        Self {
            bus,
            store,
            done,
            ids: IdSource::seeded(seed()),
            floors: floors.into_iter().map(|floor| (floor, live())).collect(),
            frontier: Frontier::default(),
            batch: Batch::new(settings.waiting_records_max),
            cursors: HashMap::new(),
            audiences: HashMap::new(),
            changed: HashMap::new(),
            desks: HashMap::new(),
            connected_ms: None,
            standing: Standing::Waiting { knows_another: false },
            turn: 0,
            is_renewing: false,
            restored: false,
            publish_from_ms: now_ms() + RESTORE_PATIENCE_MS,
            full_logged_ms: 0,
            stranger_logged_ms: 0,
            refused_logged_ms: 0,
            keep_reactions_days: settings.keep_reactions_days,
            folded_ms: 0,
            directory_asked_ms: now_ms(),
            directory: None,
            health,
            lag: Lag::default(),
            counters: Counters::default(),
            event,
        }
    }

    /// Asks for the lease, and for what the archive remembers when we get it.
    fn wait_for_our_turn(&mut self) {
        let floors = self.floors.keys().cloned().collect();
        let (event, health) = (self.event.clone(), self.health.database.clone());
        tokio::spawn(take_up(self.store.clone(), event, floors, health, self.done.clone()));
    }

    /// Asks the database now and then whether the event is still what it is for us.
    fn ask_for_directory(&mut self, now_ms: i64) {
        if now_ms - self.directory_asked_ms < DIRECTORY_EVERY_MS {
            return;
        }
        self.directory_asked_ms = now_ms;
        let (store, done, ours) = (self.store.clone(), self.done.clone(), self.event.directory());
        tokio::spawn(async move {
            // While it is away, nothing changes.
            if let Ok(events) = store.events().await
                && let Some(changed) = changed(&ours, events)
            {
                let _ = done.send(Finished::Directory(changed)).await;
            }
        });
    }

    /// A floor that is closed leaves nothing behind on the bus.
    fn clear_floors_but(&self, event: &store::Event) {
        if !self.standing.speaks(Instant::now()) {
            return;
        }
        let closed =
            self.floors.keys().filter(|address| event.floors.iter().all(|floor| floor.id != address.floor));
        for address in closed {
            let whole = [
                FloorTopic::Now,
                FloorTopic::History,
                FloorTopic::Reactions,
                FloorTopic::Announcement,
                FloorTopic::Poll,
            ];
            for about in whole.into_iter().chain(NowField::ALL.map(FloorTopic::NowField)) {
                self.bus.keep(address.topic(about), String::new());
            }
        }
    }

    /// Another archiver has taken over. What is not stored is with the desks still.
    fn stand_down(&mut self) {
        tracing::warn!("another archiver has taken over; listening only");
        self.fall_silent();
        self.restored = false;
        self.wait_for_our_turn();
    }

    fn fall_silent(&mut self) {
        self.health
            .lease
            .lacks("another archiver has it; this one listens, and takes over when that one is gone");
        self.counters.lease.set(0);
        self.lag = Lag::default();
        self.bus.fall_silent();
        self.standing = Standing::Waiting { knows_another: true };
        self.turn += 1;
        self.is_renewing = false;
        self.batch.clear();
        self.frontier = Frontier::default();
        self.cursors.clear();
        for live in self.floors.values_mut() {
            (live.now, live.reactions, live.history_told) = (None, None, false);
            (live.announcement_told, live.poll_told) = (None, None);
            live.requests.change_all();
        }
    }

    /// Begins to speak.
    fn speak(&mut self, standing: Standing) {
        self.standing = standing;
        self.tell_info();
    }

    fn renew(&mut self) {
        let Standing::Holding { lease, .. } = &self.standing else { return };
        // The operating system may hold it for us as long as we live.
        if lease.is_locked() || std::mem::replace(&mut self.is_renewing, true) {
            return;
        }
        let (store, done, lease, turn) = (self.store.clone(), self.done.clone(), lease.clone(), self.turn);
        tokio::spawn(async move {
            let asked = Instant::now();
            let result = store.renew(&lease).await;
            let _ = done.send(Finished::Renewed { turn, asked, result }).await;
        });
    }

    fn renewed(&mut self, asked: Instant, result: Result<bool, store::Error>) {
        let Standing::Holding { renewed, is_database_away, .. } = &mut self.standing else { return };
        match result {
            Ok(true) => {
                (*renewed, *is_database_away) = (asked, false);
                // Whether it takes what waits, the next transaction will tell.
                if self.batch.is_empty() {
                    self.health.database.ready();
                }
            }
            Ok(false) => self.stand_down(),
            Err(error) => {
                *is_database_away = true;
                self.health.database.lacks(format!("{:#}", anyhow::Error::from(error)));
            }
        }
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
            term: self.standing.term(),
        };
        self.bus.keep(Topic::Info(self.event.id.clone()), message::write(&info));
    }

    fn incoming(&mut self, incoming: Incoming) {
        let (topic, message, retained) = match incoming {
            Incoming::Message { topic, message, retained } => (topic, message, retained),
            Incoming::Connected => {
                self.connected_ms = Some(now_ms());
                self.health.broker.ready();
                self.desks.values_mut().for_each(|heard| {
                    (heard.status, heard.state, heard.asked) = (false, false, false);
                });
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
            (Topic::Info(_), Message::Info(info))
                if self.standing.term().is_some_and(|ours| info.term > Some(ours)) =>
            {
                self.stand_down();
            }
            _ => {}
        }
    }

    fn floor_message(&mut self, address: FloorAddress, about: FloorTopic, message: Message, retained: bool) {
        let now_ms = now_ms();
        // What is numbered is kept whatever its floor: otherwise everything behind it would wait for ever.
        if let (FloorTopic::In(producer), Message::In(report)) = (&about, &message) {
            return self.input(&address, producer, report, now_ms);
        }
        if let (FloorTopic::Desk(desk, DeskTopic::Play), Message::Play(report)) = (&about, &message) {
            self.keep_play(&address, desk, report, now_ms);
        }
        if let (FloorTopic::Desk(_, DeskTopic::Cover), Message::Cover(Cover { jpeg, .. })) =
            (&about, &message)
        {
            return self.keep_cover(jpeg, now_ms);
        }
        if !self.floors.contains_key(&address) {
            if now_ms - self.stranger_logged_ms > 10_000 {
                self.stranger_logged_ms = now_ms;
                tracing::warn!(floor = %address, "a message for a floor that this event does not have; nobody sees it");
            }
            return;
        }
        if let FloorTopic::Desk(desk, about) = &about {
            self.know(&address, desk);
            let heard = self.desks.entry((address.clone(), desk.clone()));
            heard.and_modify(|heard| match about {
                DeskTopic::Status => heard.status = true,
                DeskTopic::State => heard.state = true,
                DeskTopic::Play | DeskTopic::Cover | DeskTopic::Requests => {}
            });
        }
        if let (FloorTopic::Desk(desk, DeskTopic::Play), Message::Play(report)) = (&about, &message) {
            // What waited, or is imported, comes late and tells nothing of a slow clock. The state that goes before each
            // live play does.
            if report.at_ms > now_ms {
                self.observe_clock(&address, desk, report.at_ms, now_ms);
            }
        }
        if let (FloorTopic::Desk(desk, DeskTopic::State), Message::DeskState(state)) = (&about, &message) {
            if !retained {
                self.observe_clock(&address, desk, state.at_ms, now_ms);
            }
            self.remember_set(&address, desk, state);
            self.remember_desk(&address, desk, state, now_ms);
        }
        let Some(live) = self.floors.get_mut(&address) else { return };
        let happenings = match (about, message) {
            (FloorTopic::Desk(desk, DeskTopic::Status), Message::DeskStatus(presence)) => {
                live.floor.desk_status(&desk, presence, now_ms)
            }
            (FloorTopic::Desk(desk, DeskTopic::State), Message::DeskState(state)) => {
                if let Some(answered) = state.answered {
                    live.requests.answered(&desk, answered);
                }
                live.floor.desk_state(&desk, state, now_ms)
            }
            (FloorTopic::Desk(desk, DeskTopic::Status | DeskTopic::State), Message::Cleared) => {
                live.floor.desk_removed(&desk, now_ms)
            }
            (FloorTopic::Desk(desk, DeskTopic::Play), Message::Play(report)) => {
                live.floor.play(&desk, &report, now_ms)
            }
            (FloorTopic::Now, Message::Now(now)) if retained => {
                if let (Some(play), Some(dj), Some(set_id)) = (now.play, now.dj.clone(), now.set_id)
                    && live.now.is_none()
                {
                    let past = PastPlay { set_id, dj: now.dj, play };
                    live.floor.restore(vec![(dj.id, past)], None, now_ms);
                }
                // The archive does not know this, and may have been quicker.
                match now.set_id.filter(|_| now.last_song) {
                    Some(set_id) => live.floor.restore_last_song(set_id, now_ms),
                    None => Vec::new(),
                }
            }
            (FloorTopic::History, Message::History(history)) if retained && !live.history_told => {
                let plays = history.plays.into_iter().filter_map(|past| Some((past.dj.clone()?.id, past)));
                live.floor.restore(plays.collect(), None, now_ms);
                Vec::new()
            }
            (about, message) if retained => return self.take_up_published(&address, about, message),
            _ => return,
        };
        self.changed.entry(address).or_default().extend(happenings);
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
            for about in [DeskTopic::Status, DeskTopic::State, DeskTopic::Requests] {
                self.bus.subscribe(address.topic(FloorTopic::Desk(desk.clone(), about)).to_string());
            }
        }
    }

    fn keep_play(&mut self, address: &FloorAddress, desk: &DeskId, report: &PlayReport, now_ms: i64) {
        let numbered = Numbered {
            producer: ProducerId::from(desk.clone()),
            journal: report.journal,
            seq: report.seq,
            held_from: report.held_from,
        };
        let row = || PlayRow { floor: address.clone(), desk: desk.clone(), report: report.clone() };
        self.accept(numbered, || Some(Record::Play(Box::new(row()))), now_ms);
    }

    /// A picture waits before the play that names it, so the cursor that passes the play says that it is stored too. When
    /// there is no room, there is none for the play either, and its desk sends both again.
    fn keep_cover(&mut self, jpeg: &Jpeg, now_ms: i64) {
        if self.standing.is_ours() && !self.batch.is_full() {
            let record = Record::Cover(CoverRow { jpeg: jpeg.clone(), stored_ms: now_ms });
            self.batch.push(Waiting { record: Some(record), position: None, arrived_ms: now_ms });
        }
    }

    /// Lets what a producer numbered wait for its transaction. If something before it is missing, or there is no room, it
    /// is not stored now: the cursor stands still and the producer sends it again. The floor shows it anyway.
    fn accept(&mut self, numbered: Numbered, record: impl FnOnce() -> Option<Record>, now_ms: i64) -> Taken {
        let Numbered { producer, journal, seq, held_from } = numbered;
        if !self.standing.is_ours() {
            return Taken::New;
        }
        let stored = self.cursors.get(&(producer.clone(), journal)).copied().unwrap_or_default();
        self.lag.heard(&producer, journal, seq, stored);
        if self.batch.is_full() {
            if now_ms - self.full_logged_ms > 10_000 {
                self.full_logged_ms = now_ms;
                let waiting = self.batch.len();
                tracing::error!(
                    waiting.records = waiting,
                    "no reports are taken until the database is back; their producers keep them"
                );
            }
            return Taken::Later;
        }
        match self.frontier.arrive(&producer, journal, seq, held_from) {
            Arrival::Next => {}
            Arrival::Known { .. } => {
                self.tell_cursor(&producer, journal, now_ms);
                return Taken::Before;
            }
            Arrival::Gap { missing } => {
                tracing::debug!(%producer, seq, missing, "waiting for an earlier report");
                return Taken::Later;
            }
        }
        let position = Position { event: self.event.id.clone(), producer, journal, seq };
        self.batch.push(Waiting { record: record(), position: Some(position), arrived_ms: now_ms });
        Taken::New
    }

    /// What dancers and the DJ's console say.
    fn input(&mut self, address: &FloorAddress, producer: &ProducerId, report: &InputReport, now_ms: i64) {
        let record = self.understood(address, producer, report, now_ms).unwrap_or_else(|why| {
            self.refuse(producer, report, why, now_ms);
            None
        });
        let numbered = Numbered {
            producer: producer.clone(),
            journal: report.journal,
            seq: report.seq,
            held_from: report.held_from,
        };
        let taken = self.accept(numbered, || record.clone(), now_ms);
        // Heard even if it is known, or not stored now: hearing it twice changes nothing.
        if let Some(record) = record {
            self.hear(address, &record, taken, now_ms);
        }
    }

    /// Compares a desk's clock with ours, and says so when they differ by much.
    fn observe_clock(&mut self, address: &FloorAddress, desk: &DeskId, at_ms: i64, now_ms: i64) {
        let Some(heard) = self.desks.get_mut(&(address.clone(), desk.clone())) else { return };
        heard.skew.observe(at_ms, now_ms);
        let ahead_ms = heard.skew.ahead_ms().unwrap_or_default();
        let is_much = ahead_ms.saturating_abs() > SKEW_WORTH_A_LINE_MS;
        if is_much && now_ms - heard.skew_logged_ms > SKEW_LOG_EVERY_MS {
            heard.skew_logged_ms = now_ms;
            tracing::warn!(
                %desk, clock.ahead_ms = ahead_ms,
                "the desk's clock differs from ours; its plays carry its own time"
            );
        }
    }

    /// Notes what runs at a desk, now and then.
    fn remember_desk(&mut self, address: &FloorAddress, desk: &DeskId, state: &DeskState, now_ms: i64) {
        if !self.standing.is_ours() || self.batch.is_full() {
            return;
        }
        let Some(heard) = self.desks.get_mut(&(address.clone(), desk.clone())) else { return };
        let known = (state.source.clone(), state.app.clone(), heard.skew.ahead_ms().is_some());
        let is_news = heard.noted.as_ref() != Some(&known);
        if !is_news && now_ms - heard.noted_ms < DESK_NOTED_EVERY_MS {
            return;
        }
        (heard.noted_ms, heard.noted) = (now_ms, Some(known));
        let row = DeskRow {
            floor: address.clone(),
            desk: desk.clone(),
            source: state.source.clone(),
            app: state.app.clone(),
            skew_ms: heard.skew.ahead_ms(),
            heard_ms: now_ms,
        };
        self.batch.push(Waiting { record: Some(Record::Desk(row)), position: None, arrived_ms: now_ms });
    }

    /// A set that has begun or ended without a play of its own to say so.
    fn remember_set(&mut self, address: &FloorAddress, desk: &DeskId, state: &DeskState) {
        let Some(set) = &state.set else { return };
        // When memory is full the set still comes with its plays.
        if self.standing.is_ours() && !self.batch.is_full() {
            self.batch.push(Waiting {
                record: Some(Record::Set(SetRow {
                    floor: address.clone(),
                    desk: desk.clone(),
                    id: set.id,
                    dj: set.dj.clone(),
                    started_ms: set.started_ms,
                    ended_ms: (!state.on_air).then_some(state.at_ms),
                })),
                position: None,
                arrived_ms: now_ms(),
            });
        }
    }

    fn tick(&mut self) {
        let now_ms = now_ms();
        self.ask_for_desks(now_ms);
        self.fold_old_reactions(now_ms);
        self.ask_for_directory(now_ms);
        let addresses: Vec<FloorAddress> = self.floors.keys().cloned().collect();
        for address in addresses {
            if let Some(live) = self.floors.get_mut(&address) {
                let happenings = live.floor.tick(now_ms);
                self.publish(&address, happenings, now_ms);
                self.ask_for_reactions(&address);
                self.publish_reactions(&address, now_ms);
                self.publish_poll(&address, now_ms);
            }
        }
        self.measure();
    }

    /// What only changes by the way.
    fn measure(&mut self) {
        let queues = self.floors.iter().flat_map(|(address, live)| {
            live.floor
                .queues()
                .map(|(desk, online, queue)| (format!("{}/{desk}", address.floor), online, queue))
        });
        let queues: Vec<(String, bool, u64)> = queues.collect();
        let online = queues.iter().filter(|(_, online, _)| *online).count();
        self.counters.desks(online, queues.into_iter().map(|(desk, _, queue)| (desk, queue)).collect());
        self.counters.lag(self.lag.each());
        self.counters.waiting.set(self.batch.len() as u64);
    }

    /// Once a day, sums up reactions that are too old to be kept one by one.
    fn fold_old_reactions(&mut self, now_ms: i64) {
        let Some(days) = self.keep_reactions_days else { return };
        if !matches!(self.standing, Standing::Holding { .. }) || now_ms - self.folded_ms < FOLD_EVERY_MS {
            return;
        }
        self.folded_ms = now_ms;
        let store = self.store.clone();
        tokio::spawn(async move {
            match store.fold_reactions(now_ms - i64::from(days) * DAY_MS).await {
                Ok(0) => {}
                Ok(plays) => tracing::info!(plays, "summed up old reactions"),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!("old reactions could not be summed up: {error:#}; next try tomorrow");
                }
            }
        });
    }

    /// Says what the messages of this turn have changed.
    fn publish_changed(&mut self) {
        let now_ms = now_ms();
        for (address, happenings) in std::mem::take(&mut self.changed) {
            self.publish(&address, happenings, now_ms);
        }
    }

    /// Says what changed about a floor, and nothing else.
    fn publish(&mut self, address: &FloorAddress, happenings: Vec<Happening>, now_ms: i64) {
        if !self.standing.speaks(Instant::now()) {
            return;
        }
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
                last_song: now.last_song,
                cover_url: cover_url(self.event.web_url.as_deref(), &now),
                stale_after_ms: now.stale_after_ms,
            };
            self.bus.keep(address.topic(FloorTopic::Now), message::write(&payload));
            for field in NowField::ALL {
                let web_url = self.event.web_url.as_deref();
                let text = field_text(field, &now, web_url);
                if live.now.as_ref().map(|before| field_text(field, before, web_url)) != Some(text.clone()) {
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
        self.publish_announcement(address, now_ms);
        self.publish_requests(address, now_ms);
        self.tell(address, happenings, now_ms);
    }

    fn tell(&mut self, address: &FloorAddress, happenings: Vec<Happening>, now_ms: i64) {
        for happening in happenings {
            let payload = FloorEvent {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: now_ms,
                event_type: happening.event_type,
                play: happening.play,
                set_id: happening.set_id,
                dj: happening.dj,
                count: happening.count,
            };
            // A light that comes late must not fire: unsaid while the broker is away, it stays unsaid.
            let _ = self.bus.say(address.topic(FloorTopic::Event), message::write(&payload));
        }
    }

    /// Says what dancers say, when it changed: as often as the tick comes and no more, and the last value always.
    fn publish_reactions(&mut self, address: &FloorAddress, now_ms: i64) {
        let sockets = self.audiences.values().filter_map(|audience| audience.sockets.get(&address.floor));
        let listeners = sockets.fold(0u32, |sum, sockets| sum.saturating_add(*sockets));
        let Some(live) = self.floors.get_mut(address) else { return };
        if live.now.is_none() || !self.standing.speaks(Instant::now()) {
            return;
        }
        let play_id = live.now.as_ref().and_then(|now| now.play.as_ref()).map(|play| play.id);
        let tally = play_id.map(|play| live.voices.tally(play)).unwrap_or_default();
        let is_loaded = play_id.is_some_and(|play| live.voices.is_loaded(play));
        let told = live.crowd.observe(play_id, is_loaded, tally, listeners, now_ms);
        let now = live.floor.now();
        let happened = told
            .into_iter()
            .map(|(kind, count)| Happening { count: Some(count), ..now.tells(kind) })
            .collect();
        let same = live.reactions.as_ref().is_some_and(|told| {
            (told.play_id, told.listeners) == (play_id, listeners)
                && (told.likes, told.tempo, told.thanks) == (tally.likes, tally.tempo, tally.thanks)
        });
        if !same {
            let reactions = Reactions {
                v: V1,
                id: self.ids.message(now_ms),
                at_ms: now_ms,
                play_id,
                likes: tally.likes,
                tempo: tally.tempo,
                thanks: tally.thanks,
                listeners,
            };
            self.bus.keep(address.topic(FloorTopic::Reactions), message::write(&reactions));
            live.reactions = Some(reactions);
        }
        self.tell(address, happened, now_ms);
    }

    /// A play that is on may have been on before, with reactions that we have not heard.
    fn ask_for_reactions(&mut self, address: &FloorAddress) {
        let Some(live) = self.floors.get_mut(address) else { return };
        let play = live.now.as_ref().and_then(|now| now.play.as_ref()).map(|play| play.id);
        let Some(play) = play.filter(|play| self.restored && !live.voices.is_loaded(*play)) else { return };
        if live.asked_about.replace(play) == Some(play) {
            return;
        }
        let (store, done, floor) = (self.store.clone(), self.done.clone(), address.clone());
        tokio::spawn(async move {
            let asked = async { Ok((store.reactions(play, ROWS_MAX).await?, store.folded(play).await?)) };
            let result = asked.await;
            let _ = done.send(Finished::Reactions { floor, play, result }).await;
        });
    }

    /// Starts the next transaction, if it is time.
    fn store_next(&mut self) {
        if !self.restored {
            return;
        }
        if let Some(Transaction { records, cursors }) = self.batch.begin(now_ms()) {
            let (store, done, turn) = (self.store.clone(), self.done.clone(), self.turn);
            let lease = self.standing.lease().cloned();
            tokio::spawn(async move {
                let asked = Instant::now();
                let result = store.record(&records, &cursors, lease.as_ref()).await;
                let records = records.len();
                let _ = done.send(Finished::Stored { turn, asked, result, records, cursors }).await;
            });
        }
    }

    fn finished(&mut self, finished: Finished) -> anyhow::Result<()> {
        let now_ms = now_ms();
        match finished {
            Finished::Restored(restored) => self.restore(*restored, now_ms),
            Finished::Directory(event) => self.directory = Some(event),
            Finished::Another => match &self.standing {
                Standing::Waiting { knows_another: true } => {}
                // What came meanwhile is for whoever has the lease.
                _ => {
                    tracing::info!("another archiver is at work; listening only");
                    self.fall_silent();
                }
            },
            Finished::Away => {
                if matches!(self.standing, Standing::Waiting { knows_another: false }) {
                    self.speak(Standing::Acting);
                }
            }
            Finished::Hopeless(error) => return Err(error.context("prepare the database")),
            Finished::Stored { turn, .. } | Finished::Renewed { turn, .. } if turn != self.turn => {}
            Finished::Stored { asked, result, records, cursors, .. } => {
                self.stored(asked, result, records, cursors, now_ms);
            }
            Finished::Renewed { asked, result, .. } => {
                self.is_renewing = false;
                self.renewed(asked, result);
            }
            Finished::Reactions { floor, play, result } => {
                let Some(live) = self.floors.get_mut(&floor) else { return Ok(()) };
                live.asked_about = None;
                // If it could not be read, the next tick asks again.
                if let Ok((rows, folded)) = result {
                    live.voices.load(play, &rows, folded);
                }
            }
        }
        Ok(())
    }

    fn stored(
        &mut self,
        asked: Instant,
        result: Result<(), store::Error>,
        records: usize,
        cursors: Vec<CursorRow>,
        now_ms: i64,
    ) {
        match result {
            Ok(()) => {
                self.counters.transaction.observe(asked.elapsed());
                self.counters.committed(records, self.batch.running_since_ms(), now_ms);
                self.batch.committed();
                self.health.database.ready();
                self.renewed(asked, Ok(true));
                for cursor in cursors {
                    self.lag.stored(&cursor.producer, cursor.journal, cursor.seq);
                    self.cursors.insert((cursor.producer.clone(), cursor.journal), cursor.seq);
                    self.tell_cursor(&cursor.producer, cursor.journal, now_ms);
                }
            }
            Err(store::Error::Superseded) => {
                self.counters.fail(Failed::Superseded);
                self.stand_down();
            }
            Err(store::Error::Away(error)) => {
                self.counters.fail(Failed::Away);
                let wait_ms = self.batch.failed(now_ms);
                self.health.database.lacks(error.to_string());
                tracing::warn!(
                    waiting.records = self.batch.len(),
                    "the database is away: {error}; next try in {wait_ms} ms"
                );
            }
            Err(error) => {
                self.counters.fail(Failed::Refused);
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
    }

    fn restore(&mut self, restored: Restored, now_ms: i64) {
        let term = restored.lease.fence;
        tracing::info!(cursors = restored.cursors.len(), term, "the archive is open, and ours to write");
        self.turn += 1;
        self.speak(Standing::Holding {
            lease: restored.lease,
            renewed: restored.renewed,
            is_database_away: false,
        });
        self.restored = true;
        self.health.database.ready();
        self.health.lease.ready();
        self.counters.lease.set(1);
        self.counters.term.set(term.unsigned_abs());
        for cursor in restored.cursors {
            self.frontier.restore(cursor.producer.clone(), cursor.journal, cursor.seq);
            self.cursors.insert((cursor.producer.clone(), cursor.journal), cursor.seq);
            // The one that moved last comes last, and is the one that stays.
            self.tell_cursor(&cursor.producer, cursor.journal, now_ms);
        }
        for RestoredFloor { address, plays, last_set, reactions, folded, announcement, poll } in
            restored.floors
        {
            for desk in plays.iter().map(|(desk, _)| desk).chain(last_set.as_ref().map(|set| &set.desk)) {
                self.know(&address, desk);
            }
            if let Some(live) = self.floors.get_mut(&address) {
                let ended = last_set.filter(|set| set.ended_ms.is_some()).map(|set| {
                    let name = set.dj.unwrap_or_else(|| set.desk.to_string());
                    (set.id, Some(Dj { id: set.desk, name }))
                });
                if let Some((_, newest)) = plays.first() {
                    live.voices.load(newest.play.id, &reactions, folded);
                }
                live.floor.restore(plays, ended, now_ms);
                if let Some(AnnouncementRow { id, text, at_ms, until_ms, .. }) = announcement {
                    live.announced.say(Announcement { v: V1, id, at_ms, text, until_ms });
                }
                if let Some((last, votes)) = poll {
                    live.polls.load(&last, &votes);
                }
            }
            // What desks said while we only listened.
            let states = self.floors.get(&address).map(|live| live.floor.desk_states()).unwrap_or_default();
            for (desk, state) in states {
                self.remember_set(&address, &desk, &state);
            }
            self.publish(&address, Vec::new(), now_ms);
        }
    }

    fn tell_cursor(&mut self, producer: &ProducerId, journal: JournalId, now_ms: i64) {
        let Some(seq) = self.cursors.get(&(producer.clone(), journal)).copied() else { return };
        if !self.standing.speaks(Instant::now()) {
            return;
        }
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
            while !self.batch.is_empty() {
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
        if let Standing::Holding { lease, .. } = &self.standing {
            let release = self.store.release(lease.clone());
            if !matches!(tokio::time::timeout(Duration::from_secs(1), release).await, Ok(Ok(()))) {
                tracing::info!("the lease could not be given back, and ends by itself");
            }
        }
    }
}

/// What a dancer says about a play.
fn reaction(report: &InputReport) -> Option<ReactionRow> {
    let (play_id, dancer, reaction) = match &report.input {
        Input::Like { play_id, dancer, on } => (play_id, dancer, Reaction::Like(*on)),
        Input::Tempo { play_id, dancer, wish } => (play_id, dancer, Reaction::Tempo(*wish)),
        Input::Thanks { play_id, dancer } => (play_id, dancer, Reaction::Thanks),
        _ => return None,
    };
    Some(ReactionRow { play_id: *play_id, dancer: dancer.clone(), reaction, at_ms: report.at_ms })
}

/// Where the picture of what is on can be had, if it has one and we know where pages are.
fn cover_url(web_url: Option<&str>, now: &Now) -> Option<String> {
    let cover = now.play.as_ref()?.track.cover?;
    Some(format!("{}/cover/{cover}.jpg", web_url?.trim_end_matches('/')))
}

fn field_text(field: NowField, now: &Now, web_url: Option<&str>) -> String {
    let track = now.play.as_ref().map(|play| &play.track);
    match field {
        NowField::Title => track.map(|track| track.display_title()),
        NowField::Artist => track.and_then(|track| track.artist.clone()),
        NowField::Text => track.map(|track| track.line()),
        NowField::Bpm => track.and_then(|track| track.bpm).map(|bpm| bpm.to_string()),
        NowField::Key => track.and_then(|track| track.key.clone()),
        NowField::Dj => now.dj.as_ref().filter(|_| now.state != NowState::Ended).map(|dj| dj.name.clone()),
        NowField::State => Some(now.state.as_str().to_owned()),
        NowField::CoverUrl => cover_url(web_url, now),
    }
    .unwrap_or_default()
}
