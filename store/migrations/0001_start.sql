-- One text for SQLite and PostgreSQL: text, bigint and double precision mean the same on both.
-- Times are milliseconds since 1970 in UTC, ids are made by the programs, truth values are 0 and 1.

create table events (
    id text primary key not null,
    name text not null,
    time_zone text not null,
    accent text,
    created_ms bigint not null
);

create table floors (
    event_id text not null references events (id),
    id text not null,
    name text not null,
    position bigint not null,
    primary key (event_id, id)
);

create table tokens (
    name text primary key not null,
    kind text not null,
    event_id text not null,
    floor_id text,
    sha256 text not null,
    created_ms bigint not null,
    expires_ms bigint,
    revoked_ms bigint
);

create table sets (
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    desk_id text not null,
    dj text,
    started_ms bigint not null,
    ended_ms bigint
);

create index sets_of_a_floor on sets (event_id, floor_id, started_ms);

create table plays (
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    desk_id text not null,
    set_id text not null,
    started_ms bigint not null,
    ended_ms bigint,
    withdrawn bigint not null,
    artist text,
    title text,
    remix text,
    album text,
    genre text,
    year bigint,
    bpm double precision,
    musical_key text,
    duration_ms bigint,
    -- `at_ms` of the report that wrote this row: the newest report is the truth.
    revision_ms bigint not null
);

create index plays_of_a_floor on plays (event_id, floor_id, started_ms);
create index plays_of_a_set on plays (set_id, started_ms);

create table cursors (
    event_id text not null,
    producer text not null,
    journal text not null,
    seq bigint not null,
    updated_ms bigint not null,
    primary key (event_id, producer, journal)
);
