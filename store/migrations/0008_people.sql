-- People who log in with a password. Programs have tokens instead.
create table people (
    id text primary key not null,
    -- `organizer` or `dj`
    role text not null,
    -- Argon2id, in the form that names its own parameters. Without one nobody can log in yet.
    password text,
    created_ms bigint not null,
    password_ms bigint
);

-- Browsers in which somebody is logged in, by the hash of what their cookie holds.
create table sessions (
    sha256 text primary key not null,
    person_id text not null,
    -- What it calls itself, for its owner to know it again.
    browser text not null,
    created_ms bigint not null,
    seen_ms bigint not null
);

create index sessions_of_a_person on sessions (person_id, seen_ms);

-- Desks that belong to a person, who may use and revoke them.
create table token_owners (
    name text primary key not null,
    person_id text not null
);

-- When each token was used last.
create table token_uses (
    name text primary key not null,
    used_ms bigint not null
);

-- Events, and floors of events, that are over: their sets and plays stay, new ones are not begun. An event has an empty `floor_id`.
create table retired (
    event_id text not null,
    floor_id text not null,
    retired_ms bigint not null,
    primary key (event_id, floor_id)
);

-- What the settings of a program said of an event when it was told last, so that a change there is told from one made here.
create table event_settings (
    event_id text primary key not null,
    said text not null
);

-- Who changed what.
create table audit (
    id text primary key not null,
    at_ms bigint not null,
    who text not null,
    what text not null,
    about text not null
);

create index audit_by_time on audit (at_ms);
