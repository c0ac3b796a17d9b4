# Every page
to-the-floors = Pika, to the floors
settings = Language and light
my-likes = My likes
look-light = Light
look-dark = Dark
take-along = Take it along:
whole-event = The whole event
for-djs = DJs and organizers
back-to-floor = Back to the floor

# The floor
about-floor = What is playing on { $floor } at { $event }, as it happens.
now-playing = Now playing
no-signal = No signal from the DJ
paused = Paused
offline = Connection lost. Trying again…
unsent = Not sent yet. It will be, as soon as there is a connection.
too-many-taps = That was a lot of taps. It counts in a moment.
tap-refused = This did not count.
last-song = This is the last song. Make it count.
hold-on = Hold on
hold-on-line = We do not hear the DJ at the moment. Nothing is lost.
secret = A secret
secret-line = The DJ keeps this one to himself. Just dance.
ended = That was it
ended-line = The set is over. Thank you for dancing.
soon = Soon
soon-line = Nothing is playing yet. The first song will show up here by itself.
see-set = See the whole set
unknown-song = Unknown song
key = Key
since = since { $time }
on-for = on for %t
with = with
like = Like
like-this = Like { $song }
tempo = Tempo
slower = Slower
perfect = Perfect
faster = Faster
thanks = Thank the DJ
find-song = Find this song
likes = { $count ->
    [one] { $count } like
   *[other] { $count } likes
}
thanks-said = { $count ->
    [one] { $count } thank-you
   *[other] { $count } thank-yous
}
here = { $count ->
    [one] { $count } here
   *[other] { $count } here
}
poll = The DJ asks
poll-closed = Closed.
votes = { $count ->
    [0] No votes yet
    [one] { $count } vote
   *[other] { $count } votes
}
percent = { $percent } %
played-before = Played before
show-code = Show the code to a friend

# A song
played-at = { $day }, { $time }, { $dj }
find-at = Find it at

# Stage and join
scan = What is playing? Scan, or go to
before = Before:
code-of = QR code of { $url }
what-plays = What is playing?
point-camera = Point your camera here.
or-type = Or type this address:

# Floors
where-dance = Where do you dance?
quiet = Quiet at the moment

# Mine
no-likes = Nothing yet. The songs you like will be here, also tomorrow.
your-data = Your data
your-data-line = Pika knows you only as a random number in a cookie of this browser. There is no account, and nothing is shared.
delete-all = Delete everything I said
forgotten = Forgotten
forgotten-line = Everything that you said is deleted. What was counted stays counted, without you.

# Afterwards
played-so-far = { $count ->
    [one] { $count } song was played.
   *[other] { $count } songs were played.
}
most-liked = Most liked
sets = Sets
nobody-yet = Nobody has played yet.
songs = { $count ->
    [one] { $count } song
   *[other] { $count } songs
}
polls = What the DJs asked
set-of = { $dj }’s set
favourite = Favourite:
curve = Tempo over the set. Larger dots were liked more.
nothing-played = Nothing was played.
wishes = Tempo wishes: slower { $slower }, perfect { $perfect }, faster { $faster }
still-on = still on

# The DJ's console
console = DJ’s console
login-line = Log in with the name and the token of your desk.
desk-name = Desk
desk-token = Token
log-in = Log in
log-out = Log out
login-wrong = There is no such desk, or this is not its token.
which-floor = Which floor?
on-air = On air
hidden-now = Hidden
set-over = The set is over
nothing-on = Nothing is playing
desk-away = Your laptop is out of reach. What you ask for is done when it is back.
desk-asked = Waiting for your laptop…
go-live = Go live
hide-it = Hide this one
show-it = Show it again
undo = Was not played
say-last-song = Last song
correct = Correct
song-title = Title
song-artist = Artist
end-set = End the set
end-set-line = Dancers see that it is over, with everything you played.
crowd = The floor says
count-likes = Likes
count-thanks = Thank-yous
count-here = Here
shown-now = Shown to everybody
until = until { $time }
take-down = Take down
close-poll = Close the poll
lasts = How long
minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
until-taken-down = Until I take it down
announce = Announce
announce-text = What everybody should read
preset-water = Remember to drink some water.
preset-break = Short break. We are back in ten minutes.
preset-partners = Change partners!
preset-photo = Group photo in front of the stage, now!
preset-last-call = Last half hour.
ask = Ask the floor
question = Question
options = Answers, one a line, two to six
poll-mood = What next?
poll-mood-a = Blues
poll-mood-b = Pop
poll-mood-c = Surprise us
poll-tempo = How is the tempo tonight?
poll-longer = Shall we go on longer?
poll-longer-a = Yes, all night
poll-longer-b = Half an hour more
poll-longer-c = My feet hurt
let-in = Another DJ’s laptop
let-in-line = It looks for this server in its settings, and then shows six digits. If they are the same here, it may play at this event.
let-in-code = The six digits
let-in-button = Let it in
console-done = Done.
console-sent = On its way.

# What can go wrong
one-moment = One moment
hm = Hm.
problem-reference = Should you tell the organizer about it, add this:
problem-not-found = There is nothing here. Scan the code on the wall once more?
problem-starting = The floor is being set up. This page tries again by itself.
problem-bad-request = That did not make sense to us. Try again from the page before.
problem-foreign-origin = Only our own pages may do this.
problem-full = More phones than we can serve live. This page is brought up to date now and then.
problem-unknown-play = This track was not played on this floor, or too long ago.
problem-busy = Too much at once. Try again in a moment.
problem-too-many = That was a lot of taps. Try again in a moment.
problem-too-soon = You have only just come in. Try again in a few seconds.
problem-no-cookie = We do not know this browser yet. Open the floor’s page first, and let it keep its cookie.
problem-archive-away = The archive is out of reach. Try again in a moment.
problem-no-desk = Log in to the console first.
problem-not-your-desk = This set is another desk’s.
problem-nobody-waits = No laptop with these digits is waiting. Are they the same? They are good for ten minutes.
problem-same-code = Two laptops show these digits. Let both begin anew.
problem-too-many-logins = Too many tries. Wait a few minutes.

# People with a password, and what organizers do on /admin.
person-login-line = For organizers, and DJs with an account.
person-login-wrong = This name and this password do not belong together.
person-name = Name
password = Password
login-with-token = I have the token of a desk
login-with-password = I have a password
admin = Administration
admin-event = Event
admin-desks = Desks
admin-people = People
admin-log = Changes
older-changes = Older
admin-floors = Floors
account = Account
save = Save
event-name = Name of the event
event-id = Short name, for addresses
time-zone = Time zone
accent = Colour
floor-id = Short name, for addresses
floor-name = Name of the floor
rename = Rename
add-floor = Add a floor
close-floor = Close
other-events = Other events
other-events-line = This server shows one event at a time; its settings say which one. Others are kept with all that was played there.
add-event = Add an event
end-event = List no more
recap = Recap
in-force = In force
revoked = Revoked or over
revoke = Revoke
token-name = Name
token-kind = For
token-floor = Floor
token-owner = Belongs to
token-used = Last used
token-until = Good for
all-floors = All floors
nobodys = Nobody
never = never
no-tokens = There is no token yet.
kind-desk = DJ's laptop
kind-service = Part of Pika
kind-integrator = Lights and displays
add-token = Make a token
add-token-line = A laptop with Pika on it needs none: it shows six digits, and you let it in above.
days = { $count ->
    [one] { $count } day
   *[other] { $count } days
  }
until-revoked = Until it is revoked
desk-secret-line = This is shown only now. Put it into the settings of Pika on the DJ's laptop.
token-secret-line = This is shown only now. It is the password of an MQTT login.
password-secret-line = This is shown only now. Read it out; its owner can choose another one under Account.
secret-name = Name
secret-itself = Secret
secret-server = Server
written-down = I have written it down
role = May
role-organizer = Organizer
role-dj = DJ
make-organizer = Make organizer
make-dj = Make DJ
new-password = New password
log-out-everywhere = Log out everywhere
remove = Remove
seen = last seen
add-person = Add a person
add-person-line = DJs see their own desks, organizers everything. A password is made up for a start.
my-desks = My desks
my-desks-line = A desk is one laptop that says what you play.
add-desk = Make a token for a laptop
password-now = Password now
password-next = New password, ten characters or more
my-browsers = Where I am logged in
this-browser = this one
problem-not-logged-in = You are not logged in.
problem-not-an-organizer = This is for organizers.
problem-last-organizer = Somebody has to stay organizer. Make another person one first.
problem-name-taken = This name is taken. Names of revoked tokens are not used again.
problem-wrong-password = This is not your password.
problem-password-length = A password has 10 to 200 characters.
problem-password-guessed = This password is among the first that strangers try.
problem-time-zone = There is no such time zone. They are written like Europe/Warsaw.
problem-colour = This is no colour. They are written like #ff7a59.
