-- What the DJ says to the floor and asks it. Of a floor's announcements the newest counts; an empty text clears.
create table announcements (
    -- That of the message that brought it.
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    text text not null,
    -- The desk whose DJ said it.
    desk_id text,
    at_ms bigint not null,
    until_ms bigint
);

create index announcements_of_a_floor on announcements (event_id, floor_id, at_ms);

create table polls (
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    question text not null,
    desk_id text,
    asked_ms bigint not null,
    -- When it closes or closed: as asked for, or earlier because the DJ closed it or asked something else.
    closes_ms bigint
);

create index polls_of_a_floor on polls (event_id, floor_id, asked_ms);

-- `folded_votes` are counted without a row in `poll_votes`, because the rows are too old to be kept, or their dancer
-- wanted to be forgotten.
create table poll_options (
    poll_id text not null,
    -- From 0.
    position bigint not null,
    text text not null,
    folded_votes bigint not null default 0,
    primary key (poll_id, position)
);

-- A dancer has one vote in a poll, and the newest counts, in whatever order they come.
create table poll_votes (
    poll_id text not null,
    dancer text not null,
    option bigint not null,
    revision_ms bigint not null,
    primary key (poll_id, dancer)
);

create index poll_votes_of_a_dancer on poll_votes (dancer);
create index poll_votes_to_fold on poll_votes (revision_ms);

-- What desks were asked to do from elsewhere.
create table requests (
    -- That of the message that brought it.
    id text primary key not null,
    event_id text not null,
    floor_id text not null,
    desk_id text not null,
    what text not null,
    -- The rest of it, as JSON.
    detail text not null,
    at_ms bigint not null
);
