//! From the source through the judgement into the journal, and from the journal to the broker.
//!
//! A play is on disk before anybody hears of it, and leaves the disk when the archive's cursor has passed it.

mod asked;

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bus::{BrokerUrl, Bus, Incoming, Outbox};
use config::Stop;
use config::clock::{now_ms, seed};
use jiff::tz::TimeZone;
use protocol::{
    Cover, CoverId, DeskId, DeskRequest, DeskState, DeskTopic, EventId, FloorAddress, FloorId, FloorTopic,
    IdSource, Info,
};
use protocol::{
    JournalId, Message, MessageId, Play, PlayId, PlayKind, PlayReport, Presence, ProducerId, Request, SetRef,
};
use protocol::{Topic, V1, message};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::controls::{Controls, OnNow, Standing, Status};
use crate::journal::covers::{Covers, First};
use crate::journal::{Draft, Entry, Journal, Limits, Memory, Restored};
use crate::now_playing::{Decision, Last, Learned, NowPlaying, Skip};
use crate::settings::Settings;
use crate::sources::observation::{Location, Observation, SourceKind};
use crate::sources::places::Places;
use crate::sources::tagger::{self, Asked, Tagger};
use crate::sources::tags;
use crate::sources::{self, CatchUp, Heard, SourceEvent, SourceState};
use crate::speaker::{Speakers, Spoken};

/// A set that was left open is taken up again within this time; after it, the night is over.
pub(crate) const RESUME_WITHIN_MS: i64 = 4 * 3_600_000;

/// DJ programs write whole seconds, so what started with the set may seem to have started before it.
pub(crate) const WHOLE_SECONDS_MS: i64 = 2_000;

/// How often time passes for what is decided: while nothing waits, while something does, and at most.
const TICK: Duration = Duration::from_secs(1);
const TICK_WHILE_WAITING: Duration = Duration::from_millis(250);
const TICK_MIN: Duration = Duration::from_millis(10);

/// What may still be heard when we come: a track of unknown length counts for so long.
const STILL_HEARD_MS: i64 = 12 * 60_000;

/// Judged plays that could not be written to the journal yet. When it is full the source waits: the files
/// keep what comes.
const UNWRITTEN_MAX: usize = 1_000;

/// Plays whose files were asked for: several long nights.
const ASKED_MAX: usize = 1_024;

/// Files that are read again after a restart, in case that their tags came too late for the one before.
const READ_AGAIN_MAX: usize = 16;

/// Where a desk belongs and where it keeps its journal.
#[derive(Debug, Clone)]
pub struct Home {
    pub event: EventId,
    pub journal: PathBuf,
}

/// A report as the journal keeps it: everything but what is only known when it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Noted {
    pub(crate) id: MessageId,
    pub(crate) floor: FloorId,
    pub(crate) kind: PlayKind,
    pub(crate) set: SetRef,
    pub(crate) play: Play,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) set_ended: bool,
    /// The DJ said what it really is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_corrected: bool,
    /// Its title is the name of its file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_named: bool,
    /// Where its tags can be read. It stays in the journal: [`send`] has no place for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
}

/// Publishes what the DJ program plays until stopped. The set is taken up again at the next start.
///
/// # Errors
/// The broker URL names no desk, the journal cannot be used, or the source's settings make no sense.
pub async fn run(
    settings: Settings,
    home: Home,
    broker: BrokerUrl,
    controls: Controls,
    stop: Stop,
) -> anyhow::Result<()> {
    let desk = desk_of(&broker)?;
    let (journal, restored) = journal_of(&home, &desk)?;

    let status = |presence: Presence| presence.as_str().as_bytes().to_vec();
    let address = FloorAddress::new(home.event.clone(), settings.floor.clone());
    let topic = |about| address.topic(FloorTopic::Desk(desk.clone(), about));
    let options = bus::Options {
        url: broker,
        client_id: format!("desk-{desk}"),
        subscriptions: vec![
            Topic::Cursor(home.event.clone(), ProducerId::from(desk.clone())).to_string(),
            topic(DeskTopic::Status).to_string(),
            topic(DeskTopic::Requests).to_string(),
            Topic::Info(home.event.clone()).to_string(),
        ],
        will: Some((topic(DeskTopic::Status), status(Presence::Offline).into())),
    };
    let bus_stop = Stop::new();
    let (bus, mut inbox) = bus::open(options, bus_stop.clone())?;
    bus.keep(topic(DeskTopic::Status), status(Presence::Online));

    let covers = covers_of(&home, &desk, &restored);
    let mut tagger = Tagger::start(settings.covers)?;
    let mut desk = Desk::new(desk, address, &settings, journal, covers, bus);
    let catch_up = desk.start(restored)?;
    desk.read_again(&tagger);
    let source_stop = stop.child_token();
    let mut sources =
        sources::open(&settings, Places::of_this_machine(), TimeZone::system(), catch_up, source_stop)?;
    let Controls { status, wishes } = controls;
    let mut wishes = wishes.lock().await;
    let mut ticked = Instant::now();
    loop {
        tokio::select! {
            // A journal that cannot be written holds up the source, not the other way round.
            event = sources.events.recv(), if desk.unwritten.len() < UNWRITTEN_MAX => match event {
                Some(heard) => desk.hear(heard, &tagger),
                None => anyhow::bail!("the source has stopped; see the lines above"),
            },
            Some(read) = tagger.next(), if desk.unwritten.len() < UNWRITTEN_MAX => desk.learn(read),
            incoming = inbox.next() => match incoming {
                Some(incoming) => desk.incoming(incoming),
                None => break,
            },
            // Clicks wait in their queue while the disk is away.
            Some(request) = wishes.recv(), if desk.wishes.is_empty() => desk.wish(request),
            () = sleep_until(desk.next_tick(ticked)) => {
                desk.tick();
                ticked = Instant::now();
            }
            () = stop.cancelled() => break,
        }
        desk.send();
        // Without a tray or a page nobody looks.
        if !status.is_closed() {
            status.send_if_modified(|shown| desk.show(shown));
        }
    }
    desk.leave();
    status.send_modify(|shown| shown.standing = Standing::Idle);
    bus_stop.cancel();
    while inbox.next().await.is_some() {}
    Ok(())
}

/// Whose publisher it is: the broker knows it by its login.
pub(crate) fn desk_of(broker: &BrokerUrl) -> anyhow::Result<DeskId> {
    broker
        .login_name()
        .context("the broker URL names no desk; it looks like mqtt://DESK:TOKEN@HOST")?
        .parse()
        .context("the desk in the broker URL")
}

/// The desk's journal, which is nobody else's while it is open.
pub(crate) fn journal_of(home: &Home, desk: &DeskId) -> anyhow::Result<(Journal<Noted>, Restored<Noted>)> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random)
        .map_err(|error| anyhow::anyhow!("no randomness for a new journal: {error}"))?;
    // One folder a desk: two desks on one machine do not share numbers.
    let folder = home.journal.join(desk.as_str());
    Ok(Journal::open(&folder, Limits::default(), now_ms(), random)?)
}

/// The pictures that the journal's plays name and the archive may not have. A desk without a folder for them has none.
fn covers_of(home: &Home, desk: &DeskId, restored: &Restored<Noted>) -> Covers {
    let plays = restored.unconfirmed.iter().chain(&restored.of_set);
    let named: HashSet<CoverId> = plays.filter_map(|entry| entry.report.play.track.cover).collect();
    let folder = home.journal.join(desk.as_str()).join("covers");
    Covers::open(&folder, |cover| named.contains(&cover)).unwrap_or_else(|error| {
        tracing::warn!("plays have no covers: cannot use the folder {}: {error}", folder.display());
        Covers::default()
    })
}

/// Says what is in the outbox, as far as the bus takes it; the next connection, or the next tick, goes on there.
pub(crate) fn send(
    outbox: &mut Outbox<Entry<Noted>>,
    covers: &mut Covers,
    ids: &mut IdSource,
    bus: &Bus,
    event: &EventId,
    desk: &DeskId,
    journal: JournalId,
) {
    while let Some((seq, held_from, entry)) = outbox.next() {
        let Entry { at_ms, report, .. } = entry;
        let floor = FloorAddress::new(event.clone(), report.floor.clone());
        loop {
            // Those of a few tracks, and rarely read: whatever else is to be sent waits for the disk as well.
            match on_disk(|| covers.first(report.play.track.cover, outbox.is_last())) {
                First::Nothing => break,
                First::Wait => return,
                First::Send(jpeg) => {
                    let (at_ms, cover) = (now_ms(), jpeg.id());
                    let payload = Cover { v: V1, id: ids.message(at_ms), at_ms, cover, jpeg };
                    let topic = floor.topic(FloorTopic::Desk(desk.clone(), DeskTopic::Cover));
                    if !bus.say(topic, message::write(&payload)) {
                        return;
                    }
                    covers.sent(cover, seq);
                }
            }
        }
        let payload = PlayReport {
            v: V1,
            id: report.id,
            at_ms: *at_ms,
            journal,
            seq,
            held_from,
            kind: report.kind,
            set: report.set.clone(),
            play: report.play.clone(),
            set_ended: report.set_ended,
        };
        let topic = floor.topic(FloorTopic::Desk(desk.clone(), DeskTopic::Play));
        if !bus.say(topic, message::write(&payload)) {
            return;
        }
        outbox.sent(now_ms());
    }
}

struct Desk {
    id: DeskId,
    address: FloorAddress,
    dj: Option<String>,
    journal: Journal<Noted>,
    outbox: Outbox<Entry<Noted>>,
    covers: Covers,
    skip: Skip,
    /// Plays whose files are read or were, the newest at the end.
    files: VecDeque<(PlayId, Option<PathBuf>)>,
    /// Judged and not yet on disk, because the disk did not take it.
    unwritten: Vec<Draft<Noted>>,
    write_failed_ms: i64,
    /// The newest report of each play of the open set, in the order in which they were told.
    told: VecDeque<Noted>,
    /// The set is closed when everything is on disk.
    is_closing: bool,
    /// The set that was ended, if no play could tell it.
    ended_empty: Option<SetRef>,
    /// What is not carried out yet, because the journal cannot be written.
    asked: Vec<DeskRequest>,
    /// The same, of what the DJ clicked at the laptop.
    wishes: VecDeque<Request>,
    status: Status,
    /// Since when plays wait for an answer.
    waits_since_ms: Option<i64>,
    memory: Memory,
    now: NowPlaying,
    speakers: Speakers,
    /// That of the newest play.
    source: Option<SourceKind>,
    ids: IdSource,
    bus: Bus,
    state: Option<DeskState>,
    state_told_ms: i64,
    /// As far as we know.
    has_floor: bool,
}

impl Desk {
    fn new(
        id: DeskId,
        address: FloorAddress,
        settings: &Settings,
        journal: Journal<Noted>,
        covers: Covers,
        bus: Bus,
    ) -> Self {
        Self {
            now: NowPlaying::new(id.clone(), settings.rules()),
            id,
            address,
            dj: settings.dj.clone(),
            journal,
            outbox: Outbox::default(),
            covers,
            skip: settings.rules().skip,
            files: VecDeque::new(),
            unwritten: Vec::new(),
            write_failed_ms: 0,
            told: VecDeque::new(),
            is_closing: false,
            ended_empty: None,
            asked: Vec::new(),
            wishes: VecDeque::new(),
            status: Status::default(),
            waits_since_ms: None,
            memory: Memory::default(),
            speakers: Speakers::new(settings.source.kinds()),
            source: None,
            ids: IdSource::seeded(seed()),
            bus,
            state: None,
            state_told_ms: 0,
            has_floor: true,
        }
    }

    /// Takes up the set that was left open, or opens a new one. Returns what the source need not tell again.
    fn start(&mut self, restored: Restored<Noted>) -> anyhow::Result<CatchUp> {
        let now_ms = now_ms();
        for entry in restored.unconfirmed {
            self.outbox.push(entry.seq, entry);
        }
        if !self.outbox.is_empty() {
            tracing::info!(waiting = self.outbox.len(), "plays from before wait for the archive");
        }
        self.memory = restored.memory;
        let last = restored.last_play;
        let last_ms = last.as_ref().map_or(i64::MIN, |entry| entry.at_ms);
        if let Some(open) = &restored.open_set {
            // An older Pika has kept the last one alone.
            let all = last.clone().into_iter().chain(restored.of_set);
            all.filter(|entry| entry.report.set.id == open.set.id).for_each(|entry| self.tell(entry.report));
        }
        let open = restored.open_set.filter(|open| {
            let resumed = now_ms - last_ms.max(open.set.started_ms) < RESUME_WITHIN_MS;
            let is_over = self.told.iter().any(|told| told.set_ended);
            resumed && !is_over && open.floor == self.address.floor
        });
        let since_ms = match open {
            Some(open) => {
                tracing::info!(set.id = %open.set.id, "the set goes on");
                let since_ms = open.set.started_ms - WHOLE_SECONDS_MS;
                let last = last.filter(|entry| entry.report.set.id == open.set.id);
                let last = last.and_then(|entry| self.as_told(entry.report.play.id, entry.identity?));
                self.now.restore(now_ms, since_ms, restored.seen.iter(), last);
                since_ms
            }
            None => {
                if self.journal.open_set().is_some() {
                    self.end_left_set(now_ms)?;
                }
                self.open_set().context("write the new set to the journal")?;
                now_ms - WHOLE_SECONDS_MS
            }
        };
        self.tell_state();
        Ok(CatchUp { seen: restored.seen, since_ms: since_ms.min(now_ms - STILL_HEARD_MS) })
    }

    /// A play as it was told last, unless it was taken back.
    fn as_told(&self, play: PlayId, identity: String) -> Option<Last> {
        let told = self.told.iter().find(|told| told.play.id == play)?;
        let Noted { play, is_corrected, is_named, .. } = told.clone();
        (told.kind != PlayKind::Withdrawn).then_some(Last { play, identity, is_corrected, is_named })
    }

    /// Nobody ended the set of the other night. It ended with its last play.
    fn end_left_set(&mut self, now_ms: i64) -> anyhow::Result<()> {
        self.close_set(None, now_ms);
        anyhow::ensure!(!self.is_closing, "the old set cannot be closed in the journal; see the lines above");
        Ok(())
    }

    fn hear(&mut self, heard: Heard, tagger: &Tagger) {
        let now_ms = now_ms();
        let Heard { source, event } = heard;
        let spoken = match event {
            SourceEvent::Plays(batch) => self.speakers.plays(now_ms, source, batch),
            SourceEvent::Stopped => self.speakers.stopped(now_ms, source),
            SourceEvent::State(state) => self.source_state(now_ms, source, state),
        };
        spoken.plays.iter().for_each(|play| self.ask_file(play, tagger));
        self.judge(now_ms, spoken);
    }

    /// Asks once for the tags of a play's file, if it is on this machine. The play does not wait for them.
    fn ask_file(&mut self, observation: &Observation, tagger: &Tagger) {
        let track = match &observation.location {
            Some(Location::Path(path)) => tags::local(path),
            _ => None,
        };
        let picture = observation.picture.clone();
        if track.is_none() && picture.is_none() {
            return;
        }
        let source = observation.source.to_string();
        let play = PlayId::derived(&self.id, &source, &observation.identity);
        if self.files.iter().any(|(asked, _)| *asked == play) {
            return;
        }
        self.files.push_back((play, track.clone()));
        if self.files.len() > ASKED_MAX {
            self.files.pop_front();
        }
        tagger.ask(Asked { play, track, picture });
    }

    /// An earlier process may have been killed between a play and its tags. What was read before is read once more, and
    /// brings no news.
    fn read_again(&mut self, tagger: &Tagger) {
        let told: Vec<&Noted> = self.told.iter().filter(|told| told.kind != PlayKind::Withdrawn).collect();
        for told in &told[told.len().saturating_sub(READ_AGAIN_MAX)..] {
            if let Some(file) = &told.file {
                let track = Some(file.clone());
                self.files.push_back((told.play.id, track.clone()));
                tagger.ask(Asked { play: told.play.id, track, picture: None });
            }
        }
    }

    /// The file of a play was read. The play is completed, or taken back if the DJ's rules are about what was read.
    fn learn(&mut self, read: tagger::Read) {
        let tagger::Read { play, track, comment, jpeg } = read;
        if let Some(jpeg) = jpeg {
            self.covers.remember(jpeg);
        }
        let learned = Learned { play, track, comment };
        match self.now.learned(&learned) {
            Some(decisions) => {
                self.note(decisions);
                self.tell_state();
            }
            None => self.learn_of_told(&learned),
        }
    }

    fn source_state(&mut self, now_ms: i64, source: SourceKind, state: SourceState) -> Spoken {
        let sources = &mut self.status.sources;
        match sources.iter_mut().find(|(kind, _)| *kind == source) {
            Some((_, known)) => *known = state.clone(),
            None => sources.push((source, state.clone())),
        }
        match state {
            SourceState::Found { what, why } => {
                tracing::info!(%source, "reading {what}: {why}");
                self.status.note(now_ms, format!("{source}: reading {what}: {why}"));
                // Which program it is, before it plays anything.
                self.source = self.source.or(Some(source));
                self.speakers.is_here(now_ms, source, true)
            }
            SourceState::Waiting { what, why } => {
                tracing::info!(%source, "waiting at {what}: {why}");
                self.status.note(now_ms, format!("{source}: waiting at {what}: {why}"));
                self.speakers.is_here(now_ms, source, false)
            }
            SourceState::Missing { what, why } => {
                tracing::warn!(%source, "cannot read {what}: {why}; looking again and again");
                self.status.note(now_ms, format!("{source}: cannot read {what}: {why}"));
                self.speakers.is_here(now_ms, source, false)
            }
        }
    }

    /// Judges what the source that speaks has to say.
    fn judge(&mut self, now_ms: i64, spoken: Spoken) {
        let Spoken { plays, left_out, stopped } = spoken;
        for play in &plays {
            self.status.note(now_ms, format!("{}: {}", play.source, play.track.clone().clean().line()));
        }
        if stopped {
            self.status.note(now_ms, "nothing is played any more".to_owned());
        }
        if let Some(newest) = plays.last() {
            self.source = Some(newest.source);
        }
        let mut decisions: Vec<Decision> =
            left_out.into_iter().map(|identity| Decision::Passed { identity }).collect();
        if !plays.is_empty() {
            decisions.extend(self.now.observe(now_ms, plays));
        }
        if stopped {
            decisions.extend(self.now.stopped(now_ms));
        }
        self.note(decisions);
        self.tell_state();
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            // What was under way is lost with the old connection; what arrived after all does no harm twice.
            Incoming::Connected => {
                self.outbox.rewind();
                self.covers.rewind(false);
                self.status.is_connected = true;
                self.status.note(now_ms(), "connected to the server".to_owned());
            }
            Incoming::Lost => {
                self.status.is_connected = false;
                self.status.note(now_ms(), "the server is out of reach; plays wait".to_owned());
            }
            Incoming::Message { message: Message::Cursor(cursor), .. }
                if cursor.journal == self.journal.id() =>
            {
                on_disk(|| self.covers.confirm(cursor.seq));
                if self.outbox.confirm(cursor.seq, now_ms())
                    && let Err(error) = on_disk(|| self.journal.confirm(cursor.seq))
                {
                    // It is only sent again after a restart.
                    tracing::warn!("cannot note a confirmation: {:#}", anyhow::Error::from(error));
                }
            }
            Incoming::Message { message: Message::Info(info), .. } => {
                if self.outbox.archived_by(info.term) {
                    self.covers.rewind(false);
                }
                self.check_floor(&info);
                self.status.info = Some(info);
            }
            Incoming::Message {
                topic: Topic::Floor(_, FloorTopic::Desk(_, DeskTopic::Requests)),
                message,
                ..
            } => {
                match message {
                    Message::DeskRequests(asked) => self.asked = asked.requests,
                    _ => self.asked.clear(),
                }
                self.carry_out();
            }
            // An old connection of ours was buried just now; we are alive.
            Incoming::Message { message: Message::DeskStatus(Presence::Offline), .. } => {
                let topic = self.address.topic(FloorTopic::Desk(self.id.clone(), DeskTopic::Status));
                self.bus.keep(topic, Presence::Online.as_str());
            }
            Incoming::Message { .. } => {}
        }
    }

    /// Plays on a floor that is none are kept, and nobody sees them: the DJ has to know.
    fn check_floor(&mut self, info: &Info) {
        let is_there = info.floors.iter().any(|floor| floor.id == self.address.floor);
        if std::mem::replace(&mut self.has_floor, is_there) && !is_there {
            let floors: Vec<&str> = info.floors.iter().map(|floor| floor.id.as_str()).collect();
            tracing::error!(
                "the event has no floor `{}`, so nobody sees what you play; name one of these with --floor: {}",
                self.address.floor,
                floors.join(", ")
            );
        }
    }

    /// When the next tick is due after the last one. Where nothing waits it is for a clock that was changed.
    fn next_tick(&self, ticked: Instant) -> Instant {
        let is_written = self.unwritten.is_empty() && !self.is_closing;
        let is_done = self.asked.is_empty() && self.wishes.is_empty();
        let is_told =
            self.outbox.is_empty() && self.state.as_ref().is_none_or(|state| state.queue_depth == 0);
        let at_most = ticked + if is_written && is_done && is_told { TICK } else { TICK_WHILE_WAITING };
        let Some(due_ms) = self.now.due_ms() else { return at_most };
        let until_due = Duration::from_millis(due_ms.saturating_sub(now_ms()).max(0).unsigned_abs());
        // Never at once: what is due after all is looked at again and again, and nothing else.
        at_most.min(Instant::now() + until_due.max(TICK_MIN))
    }

    fn tick(&mut self) {
        let now_ms = now_ms();
        let decisions = self.now.tick(now_ms);
        self.note(decisions);
        let waits = !self.unwritten.is_empty() || self.is_closing;
        if waits && now_ms - self.write_failed_ms > 1_000 {
            self.write();
        }
        self.carry_out();
        self.grant();
        if self.outbox.rewind_if_stuck(now_ms) {
            self.covers.rewind(true);
            tracing::warn!(waiting = self.outbox.len(), "the archive has not confirmed; sending again");
        }
        let depth = self.outbox.len() as u64;
        if now_ms - self.state_told_ms > 1_000
            && self.state.as_ref().is_some_and(|state| state.queue_depth != depth)
        {
            self.tell_state();
        }
    }

    /// Writes down what was decided, then tells which play is on.
    fn note(&mut self, decisions: Vec<Decision>) {
        if !decisions.is_empty() {
            self.draft(decisions);
            self.write();
        }
    }

    /// What was decided, as reports that are not on disk yet.
    fn draft(&mut self, decisions: Vec<Decision>) {
        let Some(open) = self.journal.open_set().cloned() else { return };
        let mut passed = Vec::new();
        for decision in decisions {
            match decision {
                Decision::Told { kind, play, identity, current, is_named } => {
                    if kind == PlayKind::Started {
                        tracing::info!(track = %play.track.line(), current, "play");
                    }
                    let identity = (kind == PlayKind::Started).then_some(identity);
                    let id = self.ids.message(now_ms());
                    let (floor, set) = (open.floor.clone(), open.set.clone());
                    let told = self.told.iter().find(|told| told.play.id == play.id);
                    let is_corrected = told.is_some_and(|told| told.is_corrected);
                    let file = self.files.iter().find(|(asked, _)| *asked == play.id);
                    let file = file.and_then(|(_, path)| path.clone()).or_else(|| told?.file.clone());
                    let set_ended = false;
                    let report =
                        Noted { id, floor, kind, set, play, set_ended, is_corrected, is_named, file };
                    self.unwritten.push(Draft { identity, report });
                }
                Decision::Passed { identity } => passed.push(identity),
            }
        }
        if !passed.is_empty()
            && let Err(error) = on_disk(|| self.journal.seen(passed))
        {
            // They are judged again after a restart, and passed again.
            tracing::warn!("cannot write to the journal: {:#}", anyhow::Error::from(error));
        }
    }

    fn write(&mut self) {
        if !self.unwritten.is_empty() {
            let now_ms = now_ms();
            on_disk(|| self.keep_covers());
            match on_disk(|| self.journal.append(now_ms, self.unwritten.clone())) {
                Ok(entries) => {
                    self.unwritten.clear();
                    for entry in entries {
                        self.tell(entry.report.clone());
                        self.outbox.push(entry.seq, entry);
                    }
                }
                Err(error) => {
                    self.write_failed_ms = now_ms;
                    tracing::error!(
                        waiting = self.unwritten.len(),
                        "cannot write to the journal: {:#}; trying again",
                        anyhow::Error::from(error)
                    );
                    return;
                }
            }
        }
        if self.is_closing {
            match on_disk(|| self.journal.set_closed()) {
                Ok(()) => self.is_closing = false,
                Err(error) => {
                    self.write_failed_ms = now_ms();
                    tracing::error!(
                        "cannot close the set in the journal: {:#}; trying again",
                        anyhow::Error::from(error)
                    );
                }
            }
        }
        self.tell_state();
    }

    /// A picture is on disk before the play that names it. Without room for it the play has none.
    fn keep_covers(&mut self) {
        for Draft { report, .. } in &mut self.unwritten {
            let Some(cover) = report.play.track.cover else { continue };
            if let Err(error) = self.covers.keep(cover) {
                tracing::warn!("a play goes without its cover, which the disk does not take: {error}");
                report.play.track.cover = None;
            }
        }
    }

    /// The state goes before the play it names, so that late plays are told from the current one.
    fn tell_state(&mut self) {
        let now_ms = now_ms();
        let open = self.journal.open_set().filter(|_| !self.is_closing).map(|open| open.set.clone());
        let play_id = self.now.current();
        // Another play is on: it is shown.
        self.memory.hidden.take_if(|hidden| play_id.is_some_and(|play_id| play_id != *hidden));
        let state = DeskState {
            v: V1,
            id: self.ids.message(now_ms),
            at_ms: now_ms,
            on_air: open.is_some(),
            hidden: play_id.is_some() && self.memory.hidden == play_id,
            set: open.or_else(|| self.ended_empty.clone()),
            play_id,
            source: self.source.map(|source| source.to_string()),
            app: concat!("pika ", env!("CARGO_PKG_VERSION")).to_owned(),
            queue_depth: self.outbox.len() as u64,
            answered: self.memory.answered.back().copied(),
        };
        let same = |told: &DeskState| {
            let told = DeskState { id: state.id, at_ms: state.at_ms, ..told.clone() };
            told == state
        };
        if self.state.as_ref().is_some_and(same) {
            return;
        }
        let topic = self.address.topic(FloorTopic::Desk(self.id.clone(), DeskTopic::State));
        self.bus.keep(topic, message::write(&state));
        self.state = Some(state);
        self.state_told_ms = now_ms;
    }

    /// Shows how the desk stands, if that changed.
    fn show(&mut self, shown: &mut Status) -> bool {
        /// A server that answers does so within this.
        const ANSWERED_WITHIN_MS: i64 = 5_000;
        let now_ms = now_ms();
        let open = self.journal.open_set().filter(|_| !self.is_closing).map(|open| open.set.id);
        let waiting = self.outbox.len() + self.unwritten.len();
        self.waits_since_ms = if waiting == 0 { None } else { self.waits_since_ms.or(Some(now_ms)) };
        let is_slow = self.waits_since_ms.is_some_and(|since_ms| now_ms - since_ms > ANSWERED_WITHIN_MS);
        let current = self.now.current();
        let status = &mut self.status;
        status.set = open;
        status.now = self.told.iter().find(|told| Some(told.play.id) == current).map(|told| OnNow {
            play: told.play.id,
            track: told.play.track.clone(),
            started_ms: told.play.started_ms,
        });
        let told = self.told.iter().rev().find(|told| told.kind != PlayKind::Withdrawn);
        status.last = told.filter(|_| open.is_some()).map(|told| (told.play.id, told.play.track.line()));
        status.is_hidden = current.is_some() && self.memory.hidden == current;
        status.waiting = waiting;
        status.speaker = self.speakers.speaker();
        let faults = [
            (!self.unwritten.is_empty()).then(|| "the disk does not take what is played".to_owned()),
            (!self.has_floor).then(|| format!("the event has no floor {}", self.address.floor)),
            status.is_deaf().then(|| "no DJ program can be read".to_owned()),
        ];
        let fault = faults.into_iter().flatten().next();
        status.standing = match (&fault, open) {
            (Some(_), _) => Standing::Error,
            (None, None) => Standing::Idle,
            (None, Some(_)) if !status.is_connected || is_slow => Standing::Queueing,
            (None, Some(_)) if status.is_hidden => Standing::Hidden,
            (None, Some(_)) => Standing::Live,
        };
        status.why = fault.or_else(|| match status.standing {
            Standing::Queueing if !status.is_connected => Some("the server is out of reach".to_owned()),
            Standing::Queueing => Some("the archive does not answer".to_owned()),
            _ => None,
        });
        let is_new = shown != status;
        if is_new {
            shown.clone_from(status);
        }
        is_new
    }

    fn send(&mut self) {
        let (outbox, covers) = (&mut self.outbox, &mut self.covers);
        send(outbox, covers, &mut self.ids, &self.bus, &self.address.event, &self.id, self.journal.id());
    }

    fn leave(&mut self) {
        let topic = self.address.topic(FloorTopic::Desk(self.id.clone(), DeskTopic::Status));
        self.bus.keep(topic, Presence::Offline.as_str());
        if !self.outbox.is_empty() || !self.unwritten.is_empty() {
            tracing::info!(
                waiting = self.outbox.len() + self.unwritten.len(),
                "stopping; what waits is sent at the next start"
            );
        }
    }
}

/// The journal waits for the disk; meanwhile the runtime's other tasks go on.
pub(crate) fn on_disk<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
