//! The threads that write to dancers' sockets. Each has its share of them, and writes what is new to one after the
//! other in a plain loop: a task for each socket costs more than a tenth of what the kernel asks for the write itself.
//!
//! What a dancer must be told is known from one number, the state that was seen last. So nothing queues up: whoever
//! takes nothing for a while gets what is newest then.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use config::metrics::Counter;
use config::{Stop, TraceId};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::counters::Counters;
use crate::live::hub::{Hub, State};
use crate::views::Screen;
use crate::web::frames::{ClientFrame, ClientFrames, close_frame, pong_frame};
use crate::web::socket::Held;
use crate::words::Language;

/// A phone that hears nothing for 45 s reconnects, and proxies close after 60.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// A phone that takes nothing for this long is gone; it will come back by itself.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a thread looks for those two.
const TICK: Duration = Duration::from_secs(1);

/// What the kernel may hold for a phone that has stopped reading, twice as much in its own counting. Without it that
/// is megabytes.
const SEND_BUFFER_BYTES: usize = 16 * 1024;

/// A new track is several messages for us, what is on and what was, one right after the other. Everybody gets them in
/// one write.
const TOGETHER: Duration = Duration::from_millis(1);

/// The longest message a client may send; ours send none.
const CLIENT_FRAME_BYTES_MAX: u64 = 4 * 1024;

/// Browsers see an empty message as a sign of life.
const HEARTBEAT_FRAME: Bytes = Bytes::from_static(&[0x81, 0]);

/// Reads of one client, one after the other, before others have their turn.
const READS: usize = 16;

/// More cores than that have other things to do.
const THREADS_MAX: usize = 8;

const WAKE: Token = Token(usize::MAX);

/// Hands sockets to the threads. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Writers {
    doors: Arc<[Door]>,
    next: Arc<AtomicUsize>,
    broken: Stop,
}

#[derive(Debug)]
struct Door {
    /// As long as there are places for sockets.
    newcomers: Sender<Newcomer>,
    waker: Arc<Waker>,
}

/// Somebody whose connection has just become a WebSocket.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) stream: std::net::TcpStream,
    /// What came in with the handshake already.
    pub(super) early: Bytes,
    /// What it is called in the log.
    pub(super) connection: TraceId,
    /// What is said before the state of the floor.
    pub(super) hello: Bytes,
    pub(super) states: watch::Receiver<State>,
    pub(super) screen: Screen,
    pub(super) language: Language,
    pub(super) held: Held,
}

impl Writers {
    /// Starts the threads. They end at the stop, each after a goodbye to all of its sockets, and the tracker waits
    /// for them.
    pub(super) fn start(
        hub: &Hub,
        counters: &Counters,
        stop: &Stop,
        tasks: &TaskTracker,
    ) -> anyhow::Result<Self> {
        let broken = Stop::new();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let doors: Arc<[Door]> = (0..cores.min(THREADS_MAX))
            .map(|number| {
                let poll = Poll::new().context("watch sockets")?;
                let waker = Arc::new(Waker::new(poll.registry(), WAKE).context("watch sockets")?);
                let (newcomers, door) = channel();
                let (opened, updates) = (counters.opened.clone(), counters.updates.clone());
                let (stop, broken_off) = (stop.clone(), broken.clone());
                let writer = Writer::new(poll, door, stop, broken_off, opened, updates, tasks.token());
                let alarm = Alarm(broken.clone());
                std::thread::Builder::new()
                    .name(format!("writer-{number}"))
                    .spawn(move || {
                        let _alarm = alarm;
                        writer.run();
                    })
                    .context("start a thread that writes to sockets")?;
                Ok(Door { newcomers, waker })
            })
            .collect::<anyhow::Result<_>>()?;
        let wakers: Vec<Arc<Waker>> = doors.iter().map(|door| door.waker.clone()).collect();
        tasks.spawn(wake(wakers, hub.changes(), stop.clone()));
        Ok(Self { doors, next: Arc::default(), broken })
    }

    /// Cancelled when a thread has broken off: its sockets are closed, and newcomers it is given would be too.
    pub(super) fn broken(&self) -> &Stop {
        &self.broken
    }

    /// A thread takes care of the socket from now on. At a stop there is none any more, and the socket is closed.
    pub(super) fn take(&self, newcomer: Newcomer) {
        let door = &self.doors[self.next.fetch_add(1, Ordering::Relaxed) % self.doors.len()];
        if door.newcomers.send(newcomer).is_ok() {
            door.wake();
        }
    }
}

/// Tells that a thread has broken off.
struct Alarm(Stop);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.cancel();
        }
    }
}

impl Door {
    fn wake(&self) {
        wake_one(&self.waker);
    }
}

fn wake_one(waker: &Waker) {
    if let Err(error) = waker.wake() {
        tracing::warn!("cannot wake a thread that writes to sockets: {error}");
    }
}

/// Tells the threads that a floor has changed, or that all is over.
async fn wake(wakers: Vec<Arc<Waker>>, mut changes: watch::Receiver<()>, stop: Stop) {
    while !stop.is_cancelled() {
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(TOGETHER).await;
                changes.mark_unchanged();
            }
            () = stop.cancelled() => {}
        }
        wakers.iter().for_each(|waker| wake_one(waker));
    }
}

/// One of the threads.
struct Writer {
    poll: Poll,
    door: Receiver<Newcomer>,
    stop: Stop,
    broken: Stop,
    opened: Counter,
    updates: Counter,
    seats: Vec<Option<Seat>>,
    /// Places in `seats` with nobody in them.
    free: Vec<usize>,
    rows: Vec<Option<Row>>,
    buffer: Vec<u8>,
    began: Instant,
    /// Whole seconds since then.
    now_s: u32,
    _token: TaskTrackerToken,
}

/// Those who see the same: a floor, on one screen, in one language.
struct Row {
    states: watch::Receiver<State>,
    screen: Screen,
    language: Language,
    /// The newest.
    state: State,
    /// What brings those who have seen a state up to date; for one or two states, as a rule.
    news: Vec<(u64, Bytes)>,
}

/// One socket.
struct Seat {
    stream: TcpStream,
    connection: TraceId,
    row: u32,
    /// When something was said last.
    told_s: u32,
    /// The number of the state that was written last.
    seen: u64,
    unsent: Option<Box<Unsent>>,
    /// A frame of the client's that is not whole yet.
    client: Option<Box<ClientFrames>>,
    _held: Held,
}

/// What the kernel does not take for the moment.
struct Unsent {
    rest: Bytes,
    /// The answer to the newest ping, which comes after it.
    pong: Option<Vec<u8>>,
    since_s: u32,
}

/// How a socket has come to its end.
#[derive(Clone, Copy)]
enum Ended {
    /// The client has gone.
    There,
    /// We have said goodbye.
    Here,
    /// It took nothing for too long.
    Stuck,
    Error(ErrorKind),
}

impl Ended {
    /// By whom, and what went wrong.
    fn told(self) -> (&'static str, Option<String>) {
        match self {
            Ended::There => ("client", None),
            Ended::Here => ("server", None),
            Ended::Stuck => ("patience", None),
            Ended::Error(kind) => ("network", Some(kind.to_string())),
        }
    }
}

impl Writer {
    fn new(
        poll: Poll,
        door: Receiver<Newcomer>,
        stop: Stop,
        broken: Stop,
        opened: Counter,
        updates: Counter,
        token: TaskTrackerToken,
    ) -> Self {
        Self {
            poll,
            door,
            stop,
            broken,
            opened,
            updates,
            seats: Vec::new(),
            free: Vec::new(),
            rows: Vec::new(),
            buffer: vec![0; 4 * 1024],
            began: Instant::now(),
            now_s: 0,
            _token: token,
        }
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let is_empty = self.free.len() == self.seats.len();
            match self.poll.poll(&mut events, (!is_empty).then_some(TICK)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    // Nobody could be served any more; whoever supervises us starts us again.
                    tracing::error!("cannot watch sockets: {error}");
                    return self.broken.cancel();
                }
                _ => {}
            }
            let now_s = self.began.elapsed().as_secs() as u32;
            let is_tick = self.now_s != now_s;
            self.now_s = now_s;
            for event in events.iter().filter(|event| event.token() != WAKE) {
                if let Err(ended) = self.heed(event.token().0, event) {
                    self.leave(event.token().0, ended);
                }
            }
            while let Ok(newcomer) = self.door.try_recv() {
                self.welcome(newcomer);
            }
            if self.stop.is_cancelled() {
                // 1012: the service restarts; phones come back spread over a few seconds.
                return self.goodbye(1012, |_| true);
            }
            self.news();
            if is_tick {
                self.tick();
            }
        }
    }

    /// Tells everybody what he has not seen yet.
    fn news(&mut self) {
        let mut is_changed = false;
        for at in 0..self.rows.len() {
            let Some(row) = &mut self.rows[at] else { continue };
            match row.states.has_changed() {
                Ok(false) => {}
                Ok(true) => is_changed |= row.turn(),
                Err(_) => {
                    // The floor is no longer part of the event.
                    self.goodbye(1001, |seat| seat.row as usize == at);
                    self.rows[at] = None;
                }
            }
        }
        if !is_changed {
            return;
        }
        let mut told = 0;
        for at in 0..self.seats.len() {
            let Some(seat) = &mut self.seats[at] else { continue };
            let Some(row) = &mut self.rows[seat.row as usize] else { continue };
            if seat.seen == row.state.number {
                continue;
            }
            match seat.catch_up(row, self.now_s) {
                Ok(()) => told += u64::from(seat.seen == row.state.number),
                Err(ended) => self.leave(at, ended),
            }
        }
        // Once for all of them: what is done for each costs ten thousand times as much.
        self.updates.inc_by(told);
    }

    fn tick(&mut self) {
        for at in 0..self.seats.len() {
            let Some(seat) = &mut self.seats[at] else { continue };
            if let Err(ended) = seat.tick(self.now_s) {
                self.leave(at, ended);
            }
        }
    }

    fn welcome(&mut self, newcomer: Newcomer) {
        let Newcomer { stream, early, connection, hello, states, screen, language, held } = newcomer;
        // A kernel that refuses a buffer size still serves; it merely holds more for the slow.
        let _ = socket2::SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
        let mut stream = TcpStream::from_std(stream);
        let at = self.free.pop().unwrap_or(self.seats.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(at), interest) {
            tracing::warn!(connection.id = %connection, "cannot watch a socket: {error}");
            // The place was there, or is the next one.
            if at < self.seats.len() {
                self.free.push(at);
            }
            return;
        }
        let row = self.row(states, screen, language);
        self.opened.inc();
        let mut seat = Seat {
            stream,
            connection,
            row: row as u32,
            told_s: self.now_s,
            seen: 0,
            unsent: None,
            client: None,
            _held: held,
        };
        let welcomed = match &mut self.rows[row] {
            Some(row) => seat.begin(&hello, row, self.now_s).and_then(|()| seat.heard(&early, self.now_s)),
            None => Err(Ended::Here),
        };
        if at == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[at] = Some(seat);
        if let Err(ended) = welcomed {
            self.leave(at, ended);
        }
    }

    fn row(&mut self, states: watch::Receiver<State>, screen: Screen, language: Language) -> usize {
        let is_same =
            |row: &Row| (row.screen, row.language) == (screen, language) && row.states.same_channel(&states);
        if let Some(at) = self.rows.iter().position(|row| row.as_ref().is_some_and(is_same)) {
            return at;
        }
        let state = states.borrow().clone();
        let row = Row { states, screen, language, state, news: Vec::new() };
        let at = self.rows.iter().position(Option::is_none).unwrap_or(self.rows.len());
        if at == self.rows.len() {
            self.rows.push(None);
        }
        self.rows[at] = Some(row);
        at
    }

    /// What a socket is ready for.
    fn heed(&mut self, at: usize, event: &Event) -> Result<(), Ended> {
        let Some(Some(seat)) = self.seats.get_mut(at) else { return Ok(()) };
        if event.is_writable() && seat.unsent.is_some() {
            seat.flush(self.now_s)?;
            if let Some(row) = &mut self.rows[seat.row as usize] {
                seat.catch_up(row, self.now_s)?;
                self.updates.inc();
            }
        }
        if !(event.is_readable() || event.is_read_closed() || event.is_error()) {
            return Ok(());
        }
        for _ in 0..READS {
            match seat.stream.read(&mut self.buffer) {
                Ok(0) => return Err(Ended::There),
                Ok(count) => seat.heard(&self.buffer[..count], self.now_s)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Error(error.kind())),
            }
        }
        // There is more, and we are told so again.
        let interest = Interest::READABLE | Interest::WRITABLE;
        let again = self.poll.registry().reregister(&mut seat.stream, Token(at), interest);
        again.map_err(|error| Ended::Error(error.kind()))
    }

    /// A last word to some of them.
    fn goodbye(&mut self, code: u16, to: impl Fn(&Seat) -> bool) {
        for at in 0..self.seats.len() {
            if let Some(seat) = self.seats[at].as_mut().filter(|seat| to(seat)) {
                // Whoever does not take it will find out all the same.
                let _ = seat.close(code);
                self.leave(at, Ended::Here);
            }
        }
    }

    fn leave(&mut self, at: usize, ended: Ended) {
        if let Some(seat) = self.seats.get_mut(at).and_then(Option::take) {
            let (by, error) = ended.told();
            tracing::debug!(connection.id = %seat.connection, by, error, "a socket is closed");
            self.free.push(at);
        }
    }
}

impl Row {
    /// Turns to the newest state; says whether it is another one.
    fn turn(&mut self) -> bool {
        let state = self.states.borrow_and_update();
        if state.number == self.state.number {
            return false;
        }
        self.state = state.clone();
        self.news.clear();
        true
    }

    /// What brings up to date who has seen that state.
    fn since(&mut self, seen: u64) -> &Bytes {
        let at = self.news.iter().position(|(known, _)| *known == seen).unwrap_or_else(|| {
            self.news.push((seen, self.state.frames_since(seen, self.screen, self.language)));
            self.news.len() - 1
        });
        &self.news[at].1
    }
}

impl Seat {
    /// The first that a newcomer gets.
    fn begin(&mut self, hello: &Bytes, row: &mut Row, now_s: u32) -> Result<(), Ended> {
        self.seen = row.state.number;
        let all = row.since(0);
        let both = [io::IoSlice::new(hello), io::IoSlice::new(all)];
        let count = written(self.stream.write_vectored(&both))?;
        if count < hello.len() + all.len() {
            self.wait([&hello[..], all].concat().split_off(count).into(), now_s);
        }
        Ok(())
    }

    /// Writes what is new since the state that was seen last. While something else waits, that comes first.
    fn catch_up(&mut self, row: &mut Row, now_s: u32) -> Result<(), Ended> {
        if self.unsent.is_some() || self.seen == row.state.number {
            return Ok(());
        }
        let number = row.state.number;
        let news = row.since(self.seen);
        if news.is_empty() {
            self.seen = number;
            return Ok(());
        }
        match written(self.stream.write(news))? {
            // Nothing of it is on its way: it will be something newer then.
            0 => self.wait(Bytes::new(), now_s),
            count => {
                self.seen = number;
                self.told_s = now_s;
                if count < news.len() {
                    self.wait(news.slice(count..), now_s);
                }
            }
        }
        Ok(())
    }

    fn say(&mut self, frame: &Bytes, now_s: u32) -> Result<(), Ended> {
        let count = written(self.stream.write(frame))?;
        self.told_s = now_s;
        if count < frame.len() {
            self.wait(frame.slice(count..), now_s);
        }
        Ok(())
    }

    fn wait(&mut self, rest: Bytes, now_s: u32) {
        self.unsent = Some(Box::new(Unsent { rest, pong: None, since_s: now_s }));
    }

    /// The kernel takes more.
    fn flush(&mut self, now_s: u32) -> Result<(), Ended> {
        let Some(mut unsent) = self.unsent.take() else { return Ok(()) };
        let count = written(self.stream.write(&unsent.rest))?;
        if count < unsent.rest.len() {
            unsent.rest = unsent.rest.slice(count..);
            if count > 0 {
                unsent.since_s = now_s;
            }
            self.unsent = Some(unsent);
            return Ok(());
        }
        self.told_s = now_s;
        unsent.pong.map_or(Ok(()), |pong| self.say(&pong.into(), now_s))
    }

    fn tick(&mut self, now_s: u32) -> Result<(), Ended> {
        match &self.unsent {
            Some(unsent) if u64::from(now_s - unsent.since_s) > WRITE_TIMEOUT.as_secs() => Err(Ended::Stuck),
            None if u64::from(now_s - self.told_s) >= HEARTBEAT.as_secs() => {
                self.say(&HEARTBEAT_FRAME, now_s)
            }
            _ => Ok(()),
        }
    }

    /// What the client says.
    fn heard(&mut self, bytes: &[u8], now_s: u32) -> Result<(), Ended> {
        if bytes.is_empty() {
            return Ok(());
        }
        let new = || Box::new(ClientFrames::new(CLIENT_FRAME_BYTES_MAX));
        let mut client = self.client.take().unwrap_or_else(new);
        client.take(bytes);
        while let Some(frame) = client.next() {
            match frame {
                // Downstream only: what a client says here is not listened to.
                ClientFrame::Data { .. } => {}
                ClientFrame::Ping(payload) => match &mut self.unsent {
                    Some(unsent) => unsent.pong = Some(pong_frame(&payload)),
                    None => self.say(&pong_frame(&payload).into(), now_s)?,
                },
                ClientFrame::Close(code) => return self.close(code),
            }
        }
        self.client = (!client.is_empty()).then_some(client);
        Ok(())
    }

    fn close(&mut self, code: u16) -> Result<(), Ended> {
        // In the middle of a frame there is no place for it.
        if self.unsent.is_none() {
            written(self.stream.write(&close_frame(code)))?;
        }
        Err(Ended::Here)
    }
}

/// How much the kernel took.
fn written(result: io::Result<usize>) -> Result<usize, Ended> {
    match result {
        Ok(count) => Ok(count),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(Ended::Error(error.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::socket::Place;

    /// A seat with nothing to say, and its phone.
    fn seat() -> (Seat, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let phone = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let held = Held::only(Place::take(&Arc::default(), 1).unwrap());
        let stream = TcpStream::from_std(stream);
        let seat = Seat {
            stream,
            connection: TraceId::next(),
            row: 0,
            told_s: 100,
            seen: 0,
            unsent: None,
            client: None,
            _held: held,
        };
        (seat, phone)
    }

    #[test]
    fn a_thread_that_breaks_off_is_noticed() {
        let broken = Stop::new();
        let alarm = Alarm(broken.clone());
        std::thread::spawn(move || drop(alarm)).join().unwrap();
        assert!(!broken.is_cancelled(), "a stop is none");
        let alarm = Alarm(broken.clone());
        let broke = std::thread::spawn(move || {
            let _alarm = alarm;
            panic!("as a fault would");
        });
        assert!(broke.join().is_err() && broken.is_cancelled());
    }

    #[test]
    fn who_was_told_nothing_for_a_while_gets_a_sign_of_life() {
        let (mut seat, mut phone) = seat();
        assert!(seat.tick(119).is_ok() && seat.tick(120).is_ok() && seat.tick(139).is_ok());
        assert_eq!(seat.told_s, 120);
        drop(seat);
        let mut all = Vec::new();
        phone.read_to_end(&mut all).unwrap();
        assert_eq!(all, HEARTBEAT_FRAME);
    }

    #[test]
    fn who_takes_nothing_for_too_long_has_gone() {
        let (mut seat, mut phone) = seat();
        let much = Bytes::from(vec![7; 64 << 20]);
        assert!(seat.say(&much, 100).is_ok() && seat.unsent.is_some());
        assert!(seat.tick(130).is_ok());
        // Whoever takes a little is still there.
        let mut some = vec![0; 64 << 10];
        while seat.unsent.as_ref().is_some_and(|unsent| unsent.since_s < 130) {
            assert!(phone.read(&mut some).unwrap() > 0 && seat.flush(130).is_ok());
        }
        assert!(seat.unsent.is_some());
        assert!(seat.tick(160).is_ok() && seat.tick(161).is_err());
    }

    #[test]
    fn of_many_pings_the_newest_is_answered_when_there_is_room() {
        let (mut seat, phone) = seat();
        assert!(seat.say(&vec![7; 64 << 20].into(), 100).is_ok());
        for ping in [b"one", b"two"] {
            assert!(seat.heard(&[&[0x89, 0x83, 0, 0, 0, 0][..], ping].concat(), 100).is_ok());
        }
        let reading = std::thread::spawn(move || {
            let (mut phone, mut all) = (phone, Vec::new());
            phone.read_to_end(&mut all).map(|_| all.split_off(64 << 20))
        });
        while seat.unsent.is_some() {
            assert!(seat.flush(101).is_ok());
        }
        drop(seat);
        assert_eq!(reading.join().unwrap().unwrap(), pong_frame(b"two"));
    }
}
