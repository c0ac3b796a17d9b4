-- What dancers said about plays. A dancer has one of each kind for a play, and the newest counts, in whatever order
-- they come; what was taken back stays as a row, so that an older one that comes late changes nothing.
create table reactions (
    play_id text not null,
    kind text not null,
    dancer text not null,
    -- like: 1, or 0 when taken back; tempo: -1 slower, 0 perfect, 1 faster, null when taken back; thanks: 1.
    value bigint,
    revision_ms bigint not null,
    primary key (play_id, kind, dancer)
);

create index reactions_of_a_dancer on reactions (dancer, kind, revision_ms);

-- What they come to for a play. `folded_` is what is counted in there without a row in `reactions`, because the
-- rows are too old to be kept, or their dancer wanted to be forgotten.
create table tallies (
    play_id text primary key not null,
    likes bigint not null,
    slower bigint not null,
    perfect bigint not null,
    faster bigint not null,
    thanks bigint not null,
    folded_likes bigint not null default 0,
    folded_slower bigint not null default 0,
    folded_perfect bigint not null default 0,
    folded_faster bigint not null default 0,
    folded_thanks bigint not null default 0,
    -- 1 while there are rows in `reactions`, and when the last of them came.
    open bigint not null,
    last_ms bigint not null
);

create index tallies_to_fold on tallies (open, last_ms);

-- Dancers whose data was deleted. What they said before and comes late is not kept. The id itself is not here.
create table forgotten_dancers (
    dancer_sha256 text primary key not null,
    at_ms bigint not null
);

-- Who may write for an event. Each holder has a higher `fence` than the one before; `beat` moves while it lives.
create table leases (
    name text primary key not null,
    holder text not null,
    fence bigint not null,
    beat bigint not null
);

-- Desks as they were heard last: what runs there, and how far its clock is from ours.
create table desks (
    event_id text not null,
    desk_id text not null,
    floor_id text not null,
    source text,
    app text not null,
    skew_ms bigint,
    heard_ms bigint not null,
    primary key (event_id, desk_id)
);
