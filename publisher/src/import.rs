//! A night from a history file of the DJ program, for the archive alone: nothing here says that a desk is there, on air
//! or playing something.
//!
//! The plays have the ids that the live publisher gives them, so what was archived live is not doubled. Of two reports of
//! a play the archive keeps the one with the higher `at_ms`, and a file knows less than who listened: so an import
//! dates its reports to just before the start of each play, and every live report, written later, wins. Only the
//! journal's own order can move a date up: in a data folder whose desk has reported live since, an import of what
//! another folder of the same desk has reported live is the newer one. It carries what the DJ program's library knows,
//! as the live source does, so that little is lost even then.
//!
//! The reports bear no identity in the journal, which would make the last of them the play that a restarted publisher
//! goes on from; the identities are noted beside them.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bus::{BrokerUrl, Bus, Incoming, Outbox};
use config::Stop;
use config::clock::{now_ms, seed};
use jiff::tz::TimeZone;
use protocol::{DeskId, EventId, FloorId, IdSource, Info, Message, Play, PlayId, PlayKind, ProducerId};
use protocol::{SetId, SetRef, Topic};
use tokio::time::MissedTickBehavior;

use crate::journal::covers::Covers;
use crate::journal::{Draft, Entry, Journal};
use crate::now_playing::{Decision, NowPlaying, Rules};
use crate::run::{Home, Noted, RESUME_WITHIN_MS, WHOLE_SECONDS_MS, desk_of, journal_of, on_disk, send};
use crate::settings::Settings;
use crate::sources::observation::{Observation, SourceKind};
use crate::sources::places::Places;
use crate::sources::virtualdj::history::{self, Format, Found};
use crate::sources::virtualdj::home;
use crate::sources::virtualdj::library::Library;
use crate::sources::virtualdj::reader::{QUIET_MS, same_play};

/// A list of a night has some 30 KiB; a log of many years has a few megabytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A play may seem to be ahead of our clock by so much; beyond it, its time is no time.
const AHEAD_MS: i64 = 60_000;

/// How long we wait in silence for the server to say which floors there are.
const INFO_WITHIN_MS: i64 = 5_000;

/// What an import came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Plays that the archive has from this import.
    pub sent: usize,
    /// Plays that had been reported before.
    pub known: usize,
    /// Reports from before that the archive had not confirmed, and now has.
    pub waited: usize,
    /// Entries that say nothing of when they were played.
    pub untimed: usize,
    /// Entries that are no plays by the DJ's own rules, or the same play once more.
    pub passed: usize,
    /// The set of each night in the file.
    pub sets: Vec<SetId>,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plays = |count: usize| if count == 1 { "1 play".to_owned() } else { format!("{count} plays") };
        match self.sent {
            0 => write!(f, "nothing new: {} known already", plays(self.known))?,
            sent => write!(f, "{} sent, {} known already", plays(sent), self.known)?,
        }
        let more = [
            (self.waited, "sent that waited from before"),
            (self.untimed, "left out because they have no time"),
            (self.passed, "left out by your rules or as doubles"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        let sets: Vec<String> = self.sets.iter().map(SetId::to_string).collect();
        match sets.len() {
            0 => Ok(()),
            1 => write!(f, "; set {}", sets[0]),
            _ => write!(f, "; sets {}", sets.join(", ")),
        }
    }
}

/// Sends the plays of a history file that were not reported yet, and what else waits in the desk's journal; returns when
/// the archive has confirmed all of it. `progress` hears how many reports of how many are confirmed.
///
/// # Errors
/// The file is no history, the journal is in use or full, the event has no such floor, or `stop` came first.
pub async fn import(
    settings: &Settings,
    home: Home,
    broker: BrokerUrl,
    file: PathBuf,
    stop: Stop,
    progress: impl FnMut(usize, usize),
) -> anyhow::Result<Imported> {
    let desk = desk_of(&broker)?;
    let entries = prepared(file, settings.path.clone(), &stop).await?;
    let (journal, restored) = on_disk(|| journal_of(&home, &desk))?;
    let now_ms = now_ms();
    let Judged { plays, untimed, passed } = judged(&desk, settings.rules(), entries, now_ms);
    let nights = nights(&desk, plays, settings.dj.as_deref());
    // Killed between writing reports and noting their identities, an earlier import left only the reports.
    let waiting: HashSet<PlayId> = restored.unconfirmed.iter().map(|entry| entry.report.play.id).collect();
    let is_known = |one: &One| restored.seen.contains(&one.identity) || waiting.contains(&one.play.id);
    let mut outcome = Imported {
        sent: 0,
        known: nights.iter().flat_map(|night| &night.plays).filter(|one| is_known(one)).count(),
        waited: restored.unconfirmed.len(),
        untimed,
        passed,
        sets: nights.iter().map(|night| night.set.id).collect(),
    };
    let mut ids = IdSource::seeded(seed());
    let news = reports(nights, is_known, &settings.floor, now_ms, &mut ids);
    outcome.sent = news.drafts.len();
    if news.drafts.is_empty() && restored.unconfirmed.is_empty() {
        return Ok(outcome);
    }
    let mut outbox = Outbox::default();
    for entry in restored.unconfirmed {
        outbox.push(entry.seq, entry);
    }
    let event = home.event;
    let importer = Importer { desk, event, floor: settings.floor.clone(), journal, outbox };
    importer.run(broker, news, stop, progress).await?;
    Ok(outcome)
}

struct Importer {
    desk: DeskId,
    event: EventId,
    floor: FloorId,
    journal: Journal<Noted>,
    outbox: Outbox<Entry<Noted>>,
}

impl Importer {
    async fn run(
        mut self,
        broker: BrokerUrl,
        news: News,
        stop: Stop,
        mut progress: impl FnMut(usize, usize),
    ) -> anyhow::Result<()> {
        let options = bus::Options {
            url: broker,
            // Another one than the publisher's, which may be live from another folder and must not be thrown out. There
            // is no will and no status: the floor must not notice.
            client_id: format!("desk-{}-import", self.desk),
            subscriptions: vec![
                Topic::Cursor(self.event.clone(), ProducerId::from(self.desk.clone())).to_string(),
                Topic::Info(self.event.clone()).to_string(),
            ],
            will: None,
        };
        let bus_stop = Stop::new();
        let (bus, mut inbox) = bus::open(options, bus_stop.clone())?;
        let _goodbye = bus_stop.clone().drop_guard();
        let since_ms = now_ms();
        let mut is_patient = true;
        let mut total = news.drafts.len() + self.outbox.len();
        let mut news = (!news.drafts.is_empty()).then_some(news);
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while news.is_some() || !self.outbox.is_empty() {
            tokio::select! {
                incoming = inbox.next() => {
                    let incoming = incoming.context("the connection has ended by itself")?;
                    if let Some(info) = self.incoming(incoming)
                        && let Some(news) = news.take()
                    {
                        self.check_floor(&info)?;
                        self.write(news)?;
                        total = total.max(self.outbox.len());
                    }
                }
                _ = tick.tick() => {
                    let now_ms = now_ms();
                    if self.outbox.rewind_if_stuck(now_ms) {
                        tracing::warn!(waiting = self.outbox.len(), "the archive has not confirmed; sending again");
                    }
                    if is_patient && news.is_some() && bus.is_connected() && now_ms - since_ms > INFO_WITHIN_MS {
                        is_patient = false;
                        tracing::warn!(event = %self.event, "nobody says which floors there are; waiting for the archiver");
                    }
                }
                () = stop.cancelled() => return Err(self.stopped(news.is_some())),
            }
            self.send(&bus);
            let written = if news.is_some() { total } else { self.outbox.len() };
            progress(total.saturating_sub(written), total);
        }
        bus_stop.cancel();
        while inbox.next().await.is_some() {}
        Ok(())
    }

    fn send(&mut self, bus: &Bus) {
        // A history file has no covers.
        let (covers, ids) = (&mut Covers::default(), &mut IdSource::seeded(0));
        send(&mut self.outbox, covers, ids, bus, &self.event, &self.desk, self.journal.id());
    }

    fn incoming(&mut self, incoming: Incoming) -> Option<Info> {
        match incoming {
            // What was under way is lost with the old connection; what arrived after all does no harm twice.
            Incoming::Connected => self.outbox.rewind(),
            Incoming::Message { message: Message::Cursor(cursor), .. }
                if cursor.journal == self.journal.id() =>
            {
                if self.outbox.confirm(cursor.seq, now_ms())
                    && let Err(error) = on_disk(|| self.journal.confirm(cursor.seq))
                {
                    // It is only sent again at the next start.
                    tracing::warn!("cannot note a confirmation: {:#}", anyhow::Error::from(error));
                }
            }
            Incoming::Message { message: Message::Info(info), .. } => {
                self.outbox.archived_by(info.term);
                return Some(info);
            }
            Incoming::Lost | Incoming::Message { .. } => {}
        }
        None
    }

    /// A report for a floor that the event does not have is never confirmed, and nothing after it in the journal
    /// either: so this is asked before anything is written.
    fn check_floor(&self, info: &Info) -> anyhow::Result<()> {
        if info.floors.iter().any(|floor| floor.id == self.floor) {
            return Ok(());
        }
        let floors: Vec<&str> = info.floors.iter().map(|floor| floor.id.as_str()).collect();
        bail!(
            "the event {} has no floor `{}`; name one of these with --floor: {}",
            self.event,
            self.floor,
            floors.join(", ")
        )
    }

    /// All reports in one go, so that a kill leaves all of them or none.
    fn write(&mut self, news: News) -> anyhow::Result<()> {
        let entries = on_disk(|| self.journal.append_dated(news.drafts)).context("keep the plays")?;
        tracing::info!(plays = entries.len(), "the plays are in the journal; sending");
        for entry in entries {
            self.outbox.push(entry.seq, entry);
        }
        if let Err(error) = on_disk(|| self.journal.seen(news.identities)) {
            // Imported again they would be sent again, and the archive knows them by their ids.
            tracing::warn!("cannot note what was imported: {:#}", anyhow::Error::from(error));
        }
        Ok(())
    }

    fn stopped(&self, unwritten: bool) -> anyhow::Error {
        match (unwritten, self.outbox.len()) {
            (true, _) => anyhow::anyhow!("stopped before anything of the file was written or sent"),
            (false, waiting) => anyhow::anyhow!(
                "stopped: the archive has not confirmed {waiting} reports; they are in the journal, and the rest is \
                 sent at the next start of the publisher or of an import"
            ),
        }
    }
}

/// The entries of the file with what the library knows of them. A large library takes seconds, so a thread does it
/// that nobody waits for once the stop has come.
async fn prepared(file: PathBuf, path: Option<PathBuf>, stop: &Stop) -> anyhow::Result<Vec<Found>> {
    let (done, prepared) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || {
            let entries = entries_of(&file).map(|mut entries| {
                let mut library = Library::of(&library_folder(&file, path.as_deref()));
                let mut observations: Vec<Observation> =
                    entries.iter().map(|found| found.observation.clone()).collect();
                library.fill_all(now_ms(), &mut observations);
                for (found, observation) in entries.iter_mut().zip(observations) {
                    found.observation = observation;
                }
                entries
            });
            // Nobody listens any more when we were stopped meanwhile.
            let _ = done.send(entries);
        })
        .context("cannot start the thread that reads the file")?;
    tokio::select! {
        entries = prepared => entries.context("the file could not be read to its end")?,
        () = stop.cancelled() => bail!("stopped before anything of the file was written or sent"),
    }
}

/// Where the DJ program keeps its library: around the file, where the settings say, or where it is on this machine.
fn library_folder(file: &Path, path: Option<&Path>) -> PathBuf {
    let here = home::Home::of_path(file).folder;
    let set = path.map(|path| home::Home::of_path(path).folder);
    let found = home::Home::find(&Places::of_this_machine()).map(|home| home.folder);
    let has_library = |folder: &PathBuf| folder.join("database.xml").is_file();
    [Some(here.clone()), set, found].into_iter().flatten().find(has_library).unwrap_or(here)
}

fn entries_of(file: &Path) -> anyhow::Result<Vec<Found>> {
    let shown = file.display();
    let name =
        file.file_name().and_then(|name| name.to_str()).with_context(|| format!("{shown} names no file"))?;
    let format = format_of(name)?;
    let zone = TimeZone::system();
    let bytes = bytes_of(file)?;
    let read = history::read(format, name, &bytes, &zone);
    if read.tail.is_none() {
        return timed(name, read);
    }
    // A last line without its end may be half of one: it counts when the file stays as it is.
    std::thread::sleep(Duration::from_millis(QUIET_MS.unsigned_abs()));
    let again = bytes_of(file)?;
    let mut read = history::read(format, name, &again, &zone);
    let tail = read.tail.take().filter(|_| again == bytes);
    read.found.extend(tail);
    timed(name, read)
}

fn bytes_of(file: &Path) -> anyhow::Result<Vec<u8>> {
    let tried = || format!("read {}", file.display());
    let open = File::open(file).with_context(tried)?;
    let metadata = open.metadata().with_context(tried)?;
    if !metadata.is_file() {
        bail!("{} is not a file", file.display());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(tried)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("{} is larger than 64 MB, and no history list is", file.display());
    }
    Ok(bytes)
}

/// Which of VirtualDJ's files it is, by its name.
fn format_of(name: &str) -> anyhow::Result<Format> {
    let lower = name.to_lowercase();
    if lower.ends_with(".m3u") || lower.ends_with(".m3u8") {
        Ok(Format::List)
    } else if lower.ends_with(".txt") {
        Ok(Format::Tracklist)
    } else {
        bail!("{name} is no history of VirtualDJ: that is an .m3u in its History folder, or tracklist.txt")
    }
}

/// The plays of a file that says when they were; otherwise why not.
fn timed(name: &str, read: history::Read) -> anyhow::Result<Vec<Found>> {
    match read.found.len() {
        0 => bail!("{name} holds no plays"),
        _ if read.found.iter().any(|found| found.started_ms.is_some()) => Ok(read.found),
        count => bail!(
            "{name} does not say when its tracks were played ({count} of them), so they cannot stand in the archive; a history \
             that VirtualDJ has written does (#EXTVDJ with lastplaytime)"
        ),
    }
}

/// One play of the file.
#[derive(Debug, Clone, PartialEq)]
struct One {
    play: Play,
    identity: String,
}

#[derive(Debug, Default, PartialEq)]
struct Judged {
    /// Oldest first.
    plays: Vec<One>,
    untimed: usize,
    passed: usize,
}

/// What of the entries is a play, as the live publisher would have it, only that nothing waits.
fn judged(desk: &DeskId, rules: Rules, entries: Vec<Found>, now_ms: i64) -> Judged {
    let count = entries.len();
    let mut timed: Vec<Found> = Vec::with_capacity(count);
    let is_time = |ms: i64| (0..=now_ms.saturating_add(AHEAD_MS)).contains(&ms);
    timed.extend(entries.into_iter().filter(|found| found.started_ms.is_some_and(is_time)));
    let untimed = count - timed.len();
    let is_double = |index: usize| {
        let found: &Found = &timed[index];
        found.repeat > 0 || index.checked_sub(1).is_some_and(|before| same_play(&timed[before], found))
    };
    let once = (0..timed.len()).filter(|&index| !is_double(index));
    let observations: Vec<Observation> = once.map(|index| timed[index].observation.clone()).collect();

    let mut now_playing = NowPlaying::new(desk.clone(), Rules { delay_ms: 0, ..rules });
    now_playing.restore(now_ms, i64::MIN, [], None);
    let decisions = now_playing.observe(now_ms, observations);
    let mut plays: Vec<One> = decisions
        .into_iter()
        .filter_map(|decision| match decision {
            Decision::Told { kind: PlayKind::Started, play, identity, .. } => Some(One { play, identity }),
            Decision::Told { .. } | Decision::Passed { .. } => None,
        })
        .collect();
    plays.sort_by_key(|one| one.play.started_ms);
    let passed = timed.len() - plays.len();
    Judged { plays, untimed, passed }
}

/// A set of the file with all its plays, known or not.
#[derive(Debug, PartialEq)]
struct Night {
    set: SetRef,
    plays: Vec<One>,
}

/// A log over years holds many nights: where the live publisher would have opened a new set, there is one.
fn nights(desk: &DeskId, plays: Vec<One>, dj: Option<&str>) -> Vec<Night> {
    let mut nights: Vec<Night> = Vec::new();
    for one in plays {
        let started_ms = one.play.started_ms;
        match nights.last_mut() {
            Some(night) if is_same_night(night, started_ms) => night.plays.push(one),
            _ => {
                let id = SetId::derived(desk, &SourceKind::VirtualDj.to_string(), &one.identity);
                let set = SetRef { id, started_ms, dj: dj.map(str::to_owned) };
                nights.push(Night { set, plays: vec![one] });
            }
        }
    }
    nights
}

fn is_same_night(night: &Night, started_ms: i64) -> bool {
    night.plays.last().is_none_or(|last| started_ms - last.play.started_ms < RESUME_WITHIN_MS)
}

/// What is to be written: reports with their dates, and the identities that are known from then on.
#[derive(Debug, Default)]
struct News {
    drafts: Vec<(i64, Draft<Noted>)>,
    identities: Vec<String>,
}

/// A report for each play that is not known. When a play ended is not in the file; only the last one of a set, as when
/// nobody has ended a live set, ends with its length, and the set with it. One that may still be heard does not.
fn reports(
    nights: Vec<Night>,
    is_known: impl Fn(&One) -> bool,
    floor: &FloorId,
    now_ms: i64,
    ids: &mut IdSource,
) -> News {
    let mut news = News::default();
    for Night { set, plays } in nights {
        let mut new = plays.into_iter().filter(|one| !is_known(one)).peekable();
        while let Some(One { mut play, identity }) = new.next() {
            let set_ended = new.peek().is_none();
            if set_ended && let Some(length_ms) = play.track.duration_ms {
                play.ended_ms = play.started_ms.checked_add(length_ms).filter(|ended_ms| *ended_ms <= now_ms);
            }
            // Before the first live report of it, which may be a little ahead of a start in whole seconds. A date ahead of
            // the clock would push those of all later reports ahead of it.
            let dated_ms = play.started_ms.saturating_sub(WHOLE_SECONDS_MS).min(now_ms);
            let report = Noted {
                id: ids.message(now_ms),
                floor: floor.clone(),
                kind: PlayKind::Started,
                set: set.clone(),
                play,
                set_ended,
                is_corrected: false,
                is_named: false,
                file: None,
            };
            news.drafts.push((dated_ms, Draft { identity: None, report }));
            news.identities.push(identity);
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_320_000_000;
    const EVENING_S: i64 = 1_795_291_200;

    fn booth() -> DeskId {
        "booth".parse().expect("a slug")
    }

    /// A list entry as VirtualDJ writes it; seconds after the evening began.
    fn entry(title: &str, at_s: i64) -> String {
        format!(
            "#EXTVDJ:<lastplaytime>{}</lastplaytime><title>{title}</title><songlength>200.0</songlength>\n/m/{title}.mp3\n",
            EVENING_S + at_s
        )
    }

    fn found(list: &str) -> Vec<Found> {
        history::read(Format::List, "2026-11-21.m3u", list.as_bytes(), &TimeZone::UTC).found
    }

    fn titles(plays: &[One]) -> String {
        plays.iter().map(|one| one.play.track.display_title()).collect::<Vec<_>>().join(" ")
    }

    /// What a list becomes: the reports, with `known` titles left out.
    fn written(list: &str, known: &[&str]) -> Vec<(i64, Noted)> {
        let judged = judged(&booth(), Rules::default(), found(list), NOW);
        let is_known = |one: &One| known.contains(&one.play.track.display_title().as_str());
        let floor = "main".parse().expect("a slug");
        let nights = nights(&booth(), judged.plays, Some("Ana"));
        let news = reports(nights, is_known, &floor, NOW, &mut IdSource::seeded(1));
        assert_eq!(news.drafts.len(), news.identities.len());
        assert!(news.drafts.iter().all(|(_, draft)| draft.identity.is_none()));
        news.drafts.into_iter().map(|(at_ms, draft)| (at_ms, draft.report)).collect()
    }

    #[test]
    fn plays_have_the_ids_and_times_that_the_live_publisher_gives() {
        let list = entry("a", 0) + &entry("b", 180);
        let mut live = NowPlaying::new(booth(), Rules::default());
        live.set_opened(EVENING_S * 1000, EVENING_S * 1000);
        let observed = found(&list).into_iter().map(|found| found.observation).collect();
        let told = live.observe((EVENING_S + 181) * 1000, observed);
        let live: Vec<PlayId> = told
            .iter()
            .map(|decision| match decision {
                Decision::Told { play, .. } => play.id,
                Decision::Passed { .. } => panic!("{decision:?}"),
            })
            .collect();
        let imported = written(&list, &[]);
        assert_eq!(imported.iter().map(|(_, report)| report.play.id).collect::<Vec<_>>(), live);
        let times: Vec<i64> = imported.iter().map(|(_, report)| report.play.started_ms).collect();
        assert_eq!(times, [EVENING_S * 1000, (EVENING_S + 180) * 1000]);
        // Dated so that what was reported live is the newer one.
        assert!(imported.iter().all(|(at_ms, report)| *at_ms == report.play.started_ms - WHOLE_SECONDS_MS));
    }

    #[test]
    fn one_set_that_ends_with_its_last_play_and_is_the_same_again() {
        let list = entry("a", 0) + &entry("b", 180) + &entry("c", 400);
        let all = written(&list, &[]);
        let set = SetId::derived(&booth(), "virtualdj", &format!("/m/a.mp3|{}", EVENING_S * 1000));
        for (_, report) in &all {
            assert_eq!((report.set.id, report.set.started_ms), (set, EVENING_S * 1000));
            assert_eq!((report.kind, report.set.dj.as_deref()), (PlayKind::Started, Some("Ana")));
        }
        let ends: Vec<_> = all.iter().map(|(_, report)| (report.set_ended, report.play.ended_ms)).collect();
        assert_eq!(ends, [(false, None), (false, None), (true, Some((EVENING_S + 600) * 1000))]);
        // More of the same list later goes into the same set, and ends it later.
        let more = written(&(list + &entry("d", 650)), &["a", "b", "c"]);
        assert_eq!(more.len(), 1);
        assert_eq!((more[0].1.set.id, more[0].1.set_ended), (set, true));
        assert!(written(&entry("a", 0), &["a"]).is_empty());
    }

    #[test]
    fn a_log_of_many_nights_is_many_sets() {
        let list = entry("a", 0) + &entry("b", 180) + &entry("c", 5 * 3_600);
        let all = written(&list, &[]);
        assert_eq!(all.iter().map(|(_, report)| report.set_ended).collect::<Vec<_>>(), [false, true, true]);
        assert_ne!(all[1].1.set.id, all[2].1.set.id);
        assert_eq!(all[2].1.set.started_ms, all[2].1.play.started_ms);
    }

    #[test]
    fn what_may_still_be_heard_has_not_ended() {
        let all = written(&entry("a", NOW / 1000 - EVENING_S - 60), &[]);
        assert_eq!((all[0].1.set_ended, all[0].1.play.ended_ms), (true, None));
    }

    #[test]
    fn the_rules_of_the_dj_count_and_waiting_does_not() {
        let mut rules = Rules { delay_ms: 60_000, min_play_ms: 20_000, ..Rules::default() };
        rules.skip.line = vec!["jingle".to_owned()];
        let twice = entry("a", 0);
        let list = twice.clone() + &twice + &entry("jingle", 180) + &entry("cued", 200) + &entry("b", 210);
        let judged = judged(&booth(), rules, found(&list), NOW);
        assert_eq!((titles(&judged.plays).as_str(), judged.untimed, judged.passed), ("a b", 0, 3));
    }

    #[test]
    fn entries_without_a_time_are_left_out_and_so_is_the_future() {
        let list = "#EXTVDJ:<title>x</title>\n/m/x.mp3\n".to_owned()
            + &entry("a", 0)
            + &entry("ahead", NOW / 1000 - EVENING_S + 3_600);
        let judged = judged(&booth(), Rules::default(), found(&list), NOW);
        assert_eq!((titles(&judged.plays).as_str(), judged.untimed), ("a", 2));
    }

    #[track_caller]
    fn refused(name: &str, bytes: &[u8], why: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).expect("written");
        let error = format!("{:#}", entries_of(&file).expect_err("refused"));
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn what_is_no_history_is_refused_with_the_reason() {
        refused("2026-11-21.m3u", b"", "holds no plays");
        refused(
            "2026-11-21.m3u",
            b"#EXTM3U\n#EXTINF:200,A - B\n/m/b.mp3\n",
            "does not say when its tracks were played (1 of them)",
        );
        refused("list.m3u8", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\n", "does not say when");
        refused("tracklist.txt", b"22:45 : Ana - Night\n", "does not say when");
        refused("cover.png", b"\x89PNG", "is no history of VirtualDJ");
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("x.m3u");
        let error = entries_of(&list).expect_err("nothing there");
        assert!(format!("{error:#}").contains("read "), "{error:#}");
        std::fs::create_dir(&list).expect("made");
        assert!(entries_of(&list).is_err());
        std::fs::remove_dir(&list).expect("removed");
        File::create(&list).and_then(|file| file.set_len(FILE_BYTES_MAX + 1)).expect("written");
        let error = entries_of(&list).expect_err("too large");
        assert!(error.to_string().contains("larger than 64 MB"), "{error:#}");
    }

    #[test]
    fn a_last_line_without_its_end_counts_and_a_tracklist_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let list = folder.path().join("2026-11-21.m3u");
        std::fs::write(&list, entry("a", 0).trim_end()).expect("written");
        assert_eq!(entries_of(&list).expect("read").len(), 1);
        let log = folder.path().join("tracklist.txt");
        std::fs::write(&log, "VirtualDJ History 2026/11/20\n-----\n23:58 : Ana - Night\n").expect("written");
        assert_eq!(entries_of(&log).expect("read").len(), 1);
    }

    #[test]
    fn the_library_fills_in_what_the_list_leaves_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = folder.path().join("History");
        std::fs::create_dir(&history).expect("made");
        let list = history.join("2026-11-21.m3u");
        std::fs::write(&list, entry("a", 0)).expect("written");
        let library = r#"<VirtualDJ_Database><Song FilePath="/m/a.mp3"><Tags Author="Ana" Title="a" Genre="Bolero"/></Song></VirtualDJ_Database>"#;
        std::fs::write(folder.path().join("database.xml"), library).expect("written");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let entries = runtime.block_on(prepared(list, None, &Stop::new())).expect("read");
        assert_eq!(entries[0].observation.track.genre.as_deref(), Some("Bolero"));
    }

    #[test]
    fn the_last_line_says_what_happened() {
        let set = SetId::at(NOW, [0; 10]);
        let mut done = Imported { sent: 12, known: 3, waited: 0, untimed: 0, passed: 0, sets: vec![set] };
        assert_eq!(done.to_string(), format!("12 plays sent, 3 known already; set {set}"));
        done = Imported { sent: 0, known: 15, waited: 2, untimed: 1, ..done };
        let said = done.to_string();
        assert!(
            said.starts_with(
                "nothing new: 15 plays known already, 2 sent that waited from before, 1 left out because"
            ),
            "{said}"
        );
    }
}
