-- Desks that ask to play here, until somebody lets them in. Rows go after an hour; nothing else refers to them.
create table pairings (
    id text primary key not null,
    event_id text not null,
    -- What the desk would like to be called, and its DJ's name.
    desk_id text not null,
    name text,
    -- The hash of the desk's key, and the key itself once it is known.
    commitment text not null,
    desk_key text,
    -- The six digits that both sides see.
    code text,
    created_ms bigint not null,
    -- By whoever let it in: when, for which floor alone, and until when.
    granted_ms bigint,
    floor_id text,
    expires_ms bigint,
    -- The name of the token that it was given.
    token_name text
);
create index pairings_code on pairings (event_id, code);
