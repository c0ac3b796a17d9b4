//! From the bus to the board, from the board to the hub, and the listeners' number back.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{BrokerUrl, Bus, Inbox, Incoming};
use config::Stop;
use config::clock::{now_ms, seed};
use config::health::Part;
use protocol::topic::filter;
use protocol::{
    Audience, EventId, FloorAddress, FloorId, FloorTopic, IdSource, Message, ProducerId, Topic, V1, message,
};
use tokio::time::MissedTickBehavior;

use crate::live::board::{Board, Change};
use crate::live::covers::Covers;
use crate::live::hub::Hub;
use crate::live::taps::{Arriving, Unconfirmed};

/// Joining must not tell everyone: the listeners' number goes out this often, and only if it changed.
const AUDIENCE_EVERY_MS: i64 = 2_000;

/// Connects to the broker for the event's public topics.
pub(crate) fn open(
    event: &EventId,
    webapp: &ProducerId,
    broker: BrokerUrl,
    stop: Stop,
) -> anyhow::Result<(Bus, Inbox)> {
    let topic = Topic::Audience(event.clone(), webapp.clone());
    let nobody = Audience {
        v: V1,
        id: IdSource::seeded(seed()).message(now_ms()),
        at_ms: now_ms(),
        sockets: BTreeMap::new(),
    };
    let options = bus::Options {
        url: broker,
        client_id: format!("webapp-{event}-{webapp}"),
        // It names the floors, and they are then asked for one by one: not every broker hands out retained
        // messages to a wildcard.
        subscriptions: vec![
            Topic::Info(event.clone()).to_string(),
            Topic::Cursor(event.clone(), webapp.clone()).to_string(),
        ],
        will: Some((topic, message::write(&nobody).into())),
    };
    bus::open(options, stop)
}

/// Feeds the hub until stopped.
pub(crate) async fn run(
    event: EventId,
    webapp: ProducerId,
    bus: Bus,
    mut inbox: Inbox,
    hub: Hub,
    health: Part,
    arriving: Arriving,
) {
    let Arriving { mut taps, unconfirmed } = arriving;
    let mut feed = Feed {
        board: Board::default(),
        unconfirmed: Unconfirmed::new(webapp.clone()),
        audience: Topic::Audience(event, webapp),
        told: None,
        told_ms: 0,
        ids: IdSource::seeded(seed()),
        bus,
        covers: hub.covers.clone(),
        hub,
        health,
    };
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            incoming = inbox.next() => {
                let Some(incoming) = incoming else { return };
                let mut changed = Vec::new();
                feed.take(incoming, &mut changed);
                // What is there already is shown as one change.
                while let Some(more) = inbox.try_next() {
                    feed.take(more, &mut changed);
                }
                feed.show(&changed);
            }
            _ = tick.tick() => {
                // Time alone turns a song into "no signal" and ends an announcement; and counters wait for this.
                feed.show(&feed.board.floors());
                feed.tell_audience();
                feed.unconfirmed.tick();
                unconfirmed.set(feed.unconfirmed.len() as u64);
            }
            Some(tap) = taps.recv(), if feed.unconfirmed.has_room() => {
                feed.unconfirmed.take(tap);
                // What is there already goes out with it.
                while feed.unconfirmed.has_room()
                    && let Ok(more) = taps.try_recv()
                {
                    feed.unconfirmed.take(more);
                }
            }
        }
        feed.unconfirmed.send(&feed.bus);
    }
}

struct Feed {
    board: Board,
    audience: Topic,
    told: Option<BTreeMap<FloorId, u32>>,
    told_ms: i64,
    ids: IdSource,
    bus: Bus,
    hub: Hub,
    covers: Covers,
    health: Part,
    unconfirmed: Unconfirmed,
}

impl Feed {
    fn take(&mut self, incoming: Incoming, changed: &mut Vec<FloorAddress>) {
        match incoming {
            Incoming::Connected => {
                self.board.connection(true, now_ms());
                self.health.ready();
                self.unconfirmed.reconnected();
            }
            Incoming::Lost => {
                self.board.connection(false, now_ms());
                self.health.lacks("the connection is lost, and tried again");
            }
            Incoming::Message { message: Message::Cursor(cursor), .. } => self.unconfirmed.confirm(&cursor),
            // It comes before the play that names it, so phones find it before it is stored.
            Incoming::Message { message: Message::Cover(cover), .. } => self.covers.keep(cover.jpeg),
            Incoming::Message { topic, message, .. } => {
                if let Message::Info(info) = &message {
                    self.unconfirmed.archived_by(info.term);
                }
                match self.board.apply(topic, message) {
                    Change::Nothing | Change::Counters => {}
                    Change::Floor(address) => {
                        if !changed.contains(&address) {
                            changed.push(address);
                        }
                    }
                    Change::All => {
                        *changed = self.board.floors();
                        self.hub.only(changed);
                        self.follow(changed);
                    }
                }
            }
        }
    }

    fn follow(&self, floors: &[FloorAddress]) {
        for floor in floors {
            let abouts = [
                FloorTopic::Now,
                FloorTopic::History,
                FloorTopic::Reactions,
                FloorTopic::Announcement,
                FloorTopic::Poll,
            ];
            for about in abouts {
                self.bus.subscribe(floor.topic(about).to_string());
            }
            // What consoles show of desks.
            self.bus.subscribe(filter::desks_of(floor));
        }
    }

    fn show(&self, floors: &[FloorAddress]) {
        for floor in floors {
            if let Some(view) = self.board.view(floor, now_ms()) {
                self.hub.show(view);
            }
        }
    }

    fn tell_audience(&mut self) {
        let now_ms = now_ms();
        let sockets: BTreeMap<FloorId, u32> =
            self.hub.sockets().into_iter().filter(|(_, open)| *open > 0).collect();
        if self.told.as_ref() == Some(&sockets) || now_ms - self.told_ms < AUDIENCE_EVERY_MS {
            return;
        }
        let audience =
            Audience { v: V1, id: self.ids.message(now_ms), at_ms: now_ms, sockets: sockets.clone() };
        self.bus.keep(self.audience.clone(), message::write(&audience));
        self.told = Some(sockets);
        self.told_ms = now_ms;
    }
}
