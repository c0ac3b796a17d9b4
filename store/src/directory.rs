//! Events and their floors.

use protocol::{EventId, FloorId};

use crate::engine::{Error, Store, on_engine};

/// A night or weekend.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    pub id: FloorId,
    pub name: String,
}

const EVENTS: &str = "
select id, name, time_zone, accent
from events
order by created_ms desc, id";

const FLOORS: &str = "
select event_id, id, name
from floors
order by event_id, position, id";

const ADD_EVENT: &str = "
insert into events (id, name, time_zone, accent, created_ms)
values ($1, $2, $3, $4, $5)
on conflict (id) do nothing";

const ADD_FLOOR: &str = "
insert into floors (event_id, id, name, position)
values ($1, $2, $3, $4)
on conflict (event_id, id) do nothing";

impl Store {
    /// All events with their floors, the newest first.
    pub async fn events(&self) -> Result<Vec<Event>, Error> {
        type EventRow = (String, String, String, Option<String>);
        let (events, floors): (Vec<EventRow>, Vec<(String, String, String)>) = on_engine!(&self.engine, read pool => (
            sqlx::query_as(EVENTS).fetch_all(pool).await?,
            sqlx::query_as(FLOORS).fetch_all(pool).await?,
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

    /// Adds the event and the floors that are not there yet; what is there stays as it is.
    pub async fn add_event(&self, event: &Event, now_ms: i64) -> Result<(), Error> {
        on_engine!(&self.engine, write pool => {
            let mut tx = pool.begin().await?;
            sqlx::query(ADD_EVENT)
                .bind(event.id.as_str())
                .bind(&event.name)
                .bind(&event.time_zone)
                .bind(event.accent.as_deref())
                .bind(now_ms)
                .execute(&mut *tx).await?;
            for (position, floor) in (0i64..).zip(&event.floors) {
                sqlx::query(ADD_FLOOR)
                    .bind(event.id.as_str())
                    .bind(floor.id.as_str())
                    .bind(&floor.name)
                    .bind(position)
                    .execute(&mut *tx).await?;
            }
            tx.commit().await?;
        });
        Ok(())
    }
}
