-- Pictures of tracks, each once, however many plays name it.
create table covers (
    -- Made of the picture's bytes.
    id text primary key not null,
    -- A JPEG in base64: text is the same on both engines.
    jpeg text not null,
    stored_ms bigint not null
);

-- The picture of the track. It may come later than the play, or never.
alter table plays add column cover text;
