//! Events and their floors.

use protocol::{EventId, FloorId};
use serde::{Deserialize, Serialize};

use crate::audit::{By, note};
use crate::engine::{Error, Store, on_engine};

/// A night or weekend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub name: String,
    /// IANA name, for example `Europe/Warsaw`.
    pub time_zone: String,
    /// `#rrggbb`
    pub accent: Option<String>,
    pub floors: Vec<Floor>,
}

/// A room of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    pub id: FloorId,
    pub name: String,
}

/// Floors of an event. Everybody's phone has a list of them, and each is kept in memory.
pub const FLOORS_MAX: usize = 32;

/// Those that are over are passed over, as `retired` says.
macro_rules! events {
    ($which:literal) => {
        concat!(
            "
select id, name, time_zone, accent
from events",
            $which,
            "
order by created_ms desc, id"
        )
    };
}

const EVERY_EVENT: &str = events!("");

const EVENTS: &str = events!(
    "
where not exists (select 1 from retired where retired.event_id = events.id and retired.floor_id = '')"
);

const FLOORS: &str = "
select event_id, id, name
from floors
where not exists (select 1 from retired where retired.event_id = floors.event_id and retired.floor_id = floors.id)
order by event_id, position, id";

const EVERY_FLOOR: &str = "
select event_id, id, name
from floors
order by event_id, position, id";

const CHANGE_EVENT: &str = "
update events
set name = $2, time_zone = $3, accent = $4
where id = $1";

const HAS_EVENT: &str = "
select count(*)
from events
where id = $1";

const HAS_FLOOR: &str = "
select count(*)
from floors
where event_id = $1 and id = $2";

const SET_FLOOR: &str = "
insert into floors (event_id, id, name, position)
values ($1, $2, $3, (select coalesce(max(position), -1) + 1 from floors where event_id = $1))
on conflict (event_id, id) do update set
    name = excluded.name";

const COUNT_FLOORS: &str = "
select count(*)
from floors
where event_id = $1
    and id <> $2
    and not exists (select 1 from retired where retired.event_id = floors.event_id and retired.floor_id = floors.id)";

const RETIRE: &str = "
insert into retired (event_id, floor_id, retired_ms)
values ($1, $2, $3)
on conflict (event_id, floor_id) do nothing";

const REVIVE: &str = "
delete from retired
where event_id = $1 and floor_id = $2";

const ADD_EVENT: &str = "
insert into events (id, name, time_zone, accent, created_ms)
values ($1, $2, $3, $4, $5)
on conflict (id) do nothing";

const SAID: &str = "
select said
from event_settings
where event_id = $1";

const SAY: &str = "
insert into event_settings (event_id, said)
values ($1, $2)
on conflict (event_id) do update set
    said = excluded.said";

const SAY_FIRST: &str = "
insert into event_settings (event_id, said)
values ($1, $2)
on conflict (event_id) do nothing";

/// No program's settings have told of it yet.
const BY_PEOPLE: &str = "";

/// Writes an event and the floors it names, whether they are there or not. Says whether the event was.
macro_rules! enter {
    ($tx:expr, $event:expr, $now_ms:expr) => {{
        let event: &Event = $event;
        let changed = sqlx::query(CHANGE_EVENT)
            .bind(event.id.as_str())
            .bind(&event.name)
            .bind(&event.time_zone)
            .bind(event.accent.as_deref())
            .execute(&mut *$tx)
            .await?
            .rows_affected()
            == 1;
        if !changed {
            sqlx::query(ADD_EVENT)
                .bind(event.id.as_str())
                .bind(&event.name)
                .bind(&event.time_zone)
                .bind(event.accent.as_deref())
                .bind($now_ms)
                .execute(&mut *$tx)
                .await?;
        }
        for floor in &event.floors {
            sqlx::query(SET_FLOOR)
                .bind(event.id.as_str())
                .bind(floor.id.as_str())
                .bind(&floor.name)
                .execute(&mut *$tx)
                .await?;
            sqlx::query(REVIVE).bind(event.id.as_str()).bind(floor.id.as_str()).execute(&mut *$tx).await?;
        }
        changed
    }};
}

impl Store {
    /// Events with their floors, the newest first; without those that are over.
    pub async fn events(&self) -> Result<Vec<Event>, Error> {
        self.listed(EVENTS, FLOORS).await
    }

    /// Every event and floor that there ever was: what was played there is still on record.
    pub async fn every_event(&self) -> Result<Vec<Event>, Error> {
        self.listed(EVERY_EVENT, EVERY_FLOOR).await
    }

    async fn listed(&self, events: &'static str, floors: &'static str) -> Result<Vec<Event>, Error> {
        type EventRow = (String, String, String, Option<String>);
        let (events, floors): (Vec<EventRow>, Vec<(String, String, String)>) = on_engine!(&self.engine, read pool => (
            sqlx::query_as(events).fetch_all(pool).await?,
            sqlx::query_as(floors).fetch_all(pool).await?,
        ));
        Ok(events
            .into_iter()
            .filter_map(|(id, name, time_zone, accent)| {
                let floors = floors
                    .iter()
                    .filter(|(event, ..)| *event == id)
                    .filter_map(|(_, id, name)| Some(Floor { id: id.parse().ok()?, name: name.clone() }))
                    .collect();
                Some(Event { id: id.parse().ok()?, name, time_zone, accent, floors })
            })
            .collect())
    }

    /// Takes in what the settings of a program say of an event. What they said before counts for nothing any more, so a change
    /// that people made here stays until the settings change too.
    pub async fn add_event(&self, event: &Event, now_ms: i64) -> Result<(), Error> {
        let says = serde_json::to_string(event).unwrap_or_default();
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let said: Option<(String,)> = sqlx::query_as(SAID)
                .bind(event.id.as_str())
                .fetch_optional(&mut *tx).await?;
            let said = said.map(|(said,)| said);
            if said.as_deref() == Some(says.as_str()) {
                return Ok(());
            }
            sqlx::query(SAY).bind(event.id.as_str()).bind(&says).execute(&mut *tx).await?;
            // People have entered it before any program came with its settings.
            if said.as_deref() != Some(BY_PEOPLE) {
                enter!(tx, event, now_ms);
                let before: Option<Event> = said.and_then(|said| serde_json::from_str(&said).ok());
                let dropped = before.into_iter().flat_map(|before| before.floors);
                for floor in dropped.filter(|floor| event.floors.iter().all(|kept| kept.id != floor.id)) {
                    sqlx::query(RETIRE)
                        .bind(event.id.as_str())
                        .bind(floor.id.as_str())
                        .bind(now_ms)
                        .execute(&mut *tx).await?;
                }
            }
            tx.commit().await?;
        });
        Ok(())
    }

    /// Adds an event with its floors, or changes the one of that id; one that was over begins again.
    pub async fn set_event(&self, event: &Event, by: &By) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let changed = enter!(tx, event, by.at_ms);
            sqlx::query(SAY_FIRST).bind(event.id.as_str()).bind(BY_PEOPLE).execute(&mut *tx).await?;
            sqlx::query(REVIVE).bind(event.id.as_str()).bind("").execute(&mut *tx).await?;
            let what = if changed { "changed an event" } else { "added an event" };
            note!(tx, by, what, &format!("{}, {}", event.id, event.name));
            tx.commit().await?;
        });
        Ok(())
    }

    /// Ends an event: it is listed no more, and what was played there stays. `false`: there is none.
    pub async fn retire_event(&self, event: &EventId, by: &By) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let (there,): (i64,) = sqlx::query_as(HAS_EVENT).bind(event.as_str()).fetch_one(&mut *tx).await?;
            let retired = there == 1
                && sqlx::query(RETIRE)
                    .bind(event.as_str())
                    .bind("")
                    .bind(by.at_ms)
                    .execute(&mut *tx).await?.rows_affected() == 1;
            if retired {
                note!(tx, by, "ended an event", event.as_str());
            }
            tx.commit().await?;
            Ok(retired)
        })
    }

    /// Adds a floor, or gives it another name; one that was over begins again.
    pub async fn set_floor(&self, event: &EventId, floor: &Floor, by: &By) -> Result<FloorSet, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let (there,): (i64,) = sqlx::query_as(HAS_EVENT).bind(event.as_str()).fetch_one(&mut *tx).await?;
            if there == 0 {
                return Ok(FloorSet::NoEvent);
            }
            let (others,): (i64,) = sqlx::query_as(COUNT_FLOORS)
                .bind(event.as_str())
                .bind(floor.id.as_str())
                .fetch_one(&mut *tx).await?;
            if usize::try_from(others).is_ok_and(|others| others >= FLOORS_MAX) {
                return Ok(FloorSet::Full);
            }
            sqlx::query(SET_FLOOR)
                .bind(event.as_str())
                .bind(floor.id.as_str())
                .bind(&floor.name)
                .execute(&mut *tx).await?;
            sqlx::query(REVIVE).bind(event.as_str()).bind(floor.id.as_str()).execute(&mut *tx).await?;
            note!(tx, by, "set a floor", &format!("{event}/{}, {}", floor.id, floor.name));
            tx.commit().await?;
            Ok(FloorSet::Done)
        })
    }

    /// Closes a floor: nobody plays there any more, and what was played stays. `false`: there is none, or it is the last one.
    pub async fn retire_floor(&self, event: &EventId, floor: &FloorId, by: &By) -> Result<bool, Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin_with(self.engine.change()).await?;
            let (others,): (i64,) = sqlx::query_as(COUNT_FLOORS)
                .bind(event.as_str())
                .bind(floor.as_str())
                .fetch_one(&mut *tx).await?;
            let (there,): (i64,) = sqlx::query_as(HAS_FLOOR)
                .bind(event.as_str())
                .bind(floor.as_str())
                .fetch_one(&mut *tx).await?;
            let retired = others > 0
                && there == 1
                && sqlx::query(RETIRE)
                    .bind(event.as_str())
                    .bind(floor.as_str())
                    .bind(by.at_ms)
                    .execute(&mut *tx).await?.rows_affected() == 1;
            if retired {
                note!(tx, by, "closed a floor", &format!("{event}/{floor}"));
            }
            tx.commit().await?;
            Ok(retired)
        })
    }
}

/// What became of a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloorSet {
    Done,
    NoEvent,
    /// There are [`FLOORS_MAX`] already.
    Full,
}
