-- The DJ said that this was the last song of the set, or took it back.
create table last_songs (
    -- That of the message that brought it.
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    -- The desk whose DJ said it.
    desk_id text,
    -- 0: taken back.
    said bigint not null,
    at_ms bigint not null
);
