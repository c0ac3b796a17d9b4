# Każda strona
to-the-floors = Pika, do parkietów
settings = Język i światło
my-likes = Moje polubienia
look-light = Jasno
look-dark = Ciemno
take-along = Weź ze sobą:
whole-event = Całe wydarzenie
for-djs = DJ-e i organizatorzy
back-to-floor = Wróć na parkiet

# Parkiet
about-floor = Co teraz gra na { $floor }, { $event }. Na żywo.
now-playing = Teraz gra
no-signal = Brak sygnału od DJ-a
paused = Pauza
offline = Brak połączenia. Próbujemy dalej…
unsent = Jeszcze nie wysłano. Wyślemy, gdy tylko wróci połączenie.
too-many-taps = Sporo tych dotknięć. Za chwilę się policzy.
tap-refused = To się nie policzyło.
last-song = To już ostatni utwór. Zatańczcie go na całego.
hold-on = Chwileczkę
hold-on-line = W tej chwili nie słyszymy DJ-a. Nic nie ginie.
secret = Tajemnica
secret-line = Ten utwór DJ zachowuje dla siebie. Po prostu tańczcie.
ended = To już koniec
ended-line = Set się skończył. Dziękujemy za taniec.
soon = Zaraz zagramy
soon-line = Jeszcze nic nie gra. Pierwszy utwór pojawi się tu sam.
see-set = Zobacz cały set
unknown-song = Nieznany utwór
key = Tonacja
since = od { $time }
on-for = gra od %t
with = gra
like = Lubię to
like-this = Lubię: { $song }
tempo = Tempo
slower = Wolniej
perfect = Idealnie
faster = Szybciej
thanks = Podziękuj DJ-owi
find-song = Znajdź ten utwór
likes = { $count ->
    [one] { $count } polubienie
    [few] { $count } polubienia
    [many] { $count } polubień
   *[other] { $count } polubienia
}
thanks-said = { $count ->
    [one] { $count } podziękowanie
    [few] { $count } podziękowania
    [many] { $count } podziękowań
   *[other] { $count } podziękowania
}
here = { $count ->
    [one] { $count } osoba
    [few] { $count } osoby
    [many] { $count } osób
   *[other] { $count } osoby
}
poll = DJ pyta
poll-closed = Zakończone.
votes = { $count ->
    [0] Jeszcze bez głosów
    [one] { $count } głos
    [few] { $count } głosy
    [many] { $count } głosów
   *[other] { $count } głosu
}
percent = { $percent } %
played-before = Grało wcześniej
show-code = Pokaż kod znajomym

# Utwór
played-at = { $day }, { $time }, { $dj }
find-at = Znajdź w

# Scena i wejście
scan = Co teraz gra? Zeskanuj albo wejdź na
before = Wcześniej:
code-of = Kod QR do { $url }
what-plays = Co teraz gra?
point-camera = Skieruj tu aparat.
or-type = Albo wpisz ten adres:

# Parkiety
where-dance = Gdzie tańczysz?
quiet = Na razie cisza

# Moje
no-likes = Na razie pusto. Polubione utwory znajdziesz tutaj, jutro też.
your-data = Twoje dane
your-data-line = Pika zna Cię tylko jako losową liczbę w ciasteczku tej przeglądarki. Nie ma kont i niczego nie udostępniamy.
delete-all = Usuń wszystko, co ode mnie pochodzi
forgotten = Zapomniane
forgotten-line = Wszystko, co od Ciebie pochodziło, zostało usunięte. Policzone zostaje policzone, ale bez Ciebie.

# Potem
played-so-far = { $count ->
    [one] Zagrano { $count } utwór.
    [few] Zagrano { $count } utwory.
    [many] Zagrano { $count } utworów.
   *[other] Zagrano { $count } utworu.
}
most-liked = Najbardziej lubiane
sets = Sety
nobody-yet = Nikt jeszcze nie grał.
songs = { $count ->
    [one] { $count } utwór
    [few] { $count } utwory
    [many] { $count } utworów
   *[other] { $count } utworu
}
polls = O co pytali DJ-e
set-of = Set: { $dj }
favourite = Ulubiony:
curve = Tempo w trakcie setu. Większe kropki: więcej polubień.
nothing-played = Nic nie zagrano.
wishes = Życzenia co do tempa: wolniej { $slower }, idealnie { $perfect }, szybciej { $faster }
still-on = wciąż gra

# Konsola DJ-a
console = Konsola DJ-a
login-line = Zaloguj się nazwą i tokenem swojego stanowiska.
desk-name = Stanowisko
desk-token = Token
log-in = Zaloguj
log-out = Wyloguj
login-wrong = Nie ma takiego stanowiska albo to nie jego token.
which-floor = Który parkiet?
on-air = Na żywo
hidden-now = Ukryty
set-over = Set zakończony
nothing-on = Nic nie gra
desk-away = Twój laptop jest poza zasięgiem. Zrobi to, gdy wróci.
desk-asked = Czekamy na Twój laptop…
go-live = Wejdź na żywo
hide-it = Ukryj ten utwór
show-it = Pokaż z powrotem
undo = Nie zagrano
say-last-song = Ostatni utwór
correct = Popraw
song-title = Tytuł
song-artist = Wykonawca
end-set = Zakończ set
end-set-line = Tańczący zobaczą koniec i wszystko, co zagrałeś.
crowd = Parkiet mówi
count-likes = Polubienia
count-thanks = Podziękowania
count-here = Obecni
shown-now = Widzą wszyscy
until = do { $time }
take-down = Zdejmij
close-poll = Zakończ głosowanie
lasts = Jak długo
minutes = { $count ->
    [one] { $count } minuta
    [few] { $count } minuty
    [many] { $count } minut
   *[other] { $count } minuty
}
until-taken-down = Aż zdejmę
announce = Ogłoś
announce-text = Co mają przeczytać wszyscy
preset-water = Pamiętajcie o wodzie.
preset-break = Krótka przerwa. Wracamy za dziesięć minut.
preset-partners = Zmiana partnerów!
preset-photo = Wspólne zdjęcie przed sceną, teraz!
preset-last-call = Ostatnie pół godziny.
ask = Zapytaj parkiet
question = Pytanie
options = Odpowiedzi, po jednej w wierszu, od dwóch do sześciu
poll-mood = Co dalej?
poll-mood-a = Blues
poll-mood-b = Pop
poll-mood-c = Zaskocz nas
poll-tempo = Jak dziś z tempem?
poll-longer = Gramy dłużej?
poll-longer-a = Tak, całą noc
poll-longer-b = Jeszcze pół godziny
poll-longer-c = Bolą mnie nogi
let-in = Laptop innego DJ-a
let-in-line = Znajduje ten serwer w swoich ustawieniach i pokazuje sześć cyfr. Jeśli są takie same, może grać na tym wydarzeniu.
let-in-code = Sześć cyfr
let-in-button = Wpuść
console-done = Gotowe.
console-sent = Wysłano.

# Co może pójść nie tak
one-moment = Chwileczkę
hm = Hm.
problem-reference = Jeśli powiesz o tym organizatorowi, podaj też to:
problem-not-found = Nic tu nie ma. Zeskanujesz kod ze ściany jeszcze raz?
problem-starting = Parkiet się przygotowuje. Strona spróbuje ponownie sama.
problem-bad-request = Nie zrozumieliśmy. Spróbuj jeszcze raz z poprzedniej strony.
problem-foreign-origin = Mogą to robić tylko nasze strony.
problem-full = Więcej telefonów, niż możemy obsłużyć na żywo. Strona odświeża się co jakiś czas.
problem-unknown-play = Ten utwór nie był grany na tym parkiecie albo było to zbyt dawno.
problem-busy = Za dużo naraz. Spróbuj za chwilę.
problem-too-many = Sporo tych dotknięć. Spróbuj za chwilę.
problem-too-soon = Dopiero co tu jesteś. Spróbuj za kilka sekund.
problem-no-cookie = Nie znamy jeszcze tej przeglądarki. Otwórz najpierw stronę parkietu i pozwól jej zachować ciasteczko.
problem-archive-away = Archiwum jest poza zasięgiem. Spróbuj za chwilę.
problem-no-desk = Najpierw zaloguj się do konsoli.
problem-not-your-desk = To set innego stanowiska.
problem-nobody-waits = Żaden laptop z tymi cyframi nie czeka. Czy na pewno są takie same? Są ważne dziesięć minut.
problem-same-code = Dwa laptopy pokazują te same cyfry. Niech oba zaczną od nowa.
problem-too-many-logins = Za dużo prób. Odczekaj kilka minut.

# Osoby z hasłem i to, co robią organizatorzy na /admin.
person-login-line = Dla organizatorów i DJ-ów z kontem.
person-login-wrong = Ta nazwa i to hasło do siebie nie pasują.
person-name = Nazwa
password = Hasło
login-with-token = Mam token stanowiska
login-with-password = Mam hasło
admin = Administracja
admin-event = Wydarzenie
admin-desks = Stanowiska
admin-people = Osoby
admin-log = Zmiany
older-changes = Starsze
admin-floors = Parkiety
account = Konto
save = Zapisz
event-name = Nazwa wydarzenia
event-id = Krótka nazwa do adresów
time-zone = Strefa czasowa
accent = Kolor
floor-id = Krótka nazwa do adresów
floor-name = Nazwa parkietu
rename = Zmień nazwę
add-floor = Dodaj parkiet
close-floor = Zamknij
other-events = Inne wydarzenia
other-events-line = Ten serwer pokazuje jedno wydarzenie naraz; które, mówią jego ustawienia. Inne zostają ze wszystkim, co na nich grano.
add-event = Dodaj wydarzenie
end-event = Nie pokazuj więcej
recap = Podsumowanie
in-force = Ważne
revoked = Unieważnione lub wygasłe
revoke = Unieważnij
token-name = Nazwa
token-kind = Dla
token-floor = Parkiet
token-owner = Należy do
token-used = Ostatnio użyty
token-until = Ważny
all-floors = Wszystkie parkiety
nobodys = Do nikogo
never = nigdy
no-tokens = Nie ma jeszcze tokenów.
kind-desk = Laptop DJ-a
kind-service = Część Piki
kind-integrator = Światła i ekrany
add-token = Utwórz token
add-token-line = Laptop z Piką go nie potrzebuje: pokazuje sześć cyfr, a ty wpuszczasz go powyżej.
days = { $count ->
    [one] { $count } dzień
    [few] { $count } dni
    [many] { $count } dni
   *[other] { $count } dnia
  }
until-revoked = Do unieważnienia
desk-secret-line = Widać to tylko teraz. Wpisz to w ustawieniach Piki na laptopie DJ-a.
token-secret-line = Widać to tylko teraz. To hasło do logowania przez MQTT.
password-secret-line = Widać to tylko teraz. Przeczytaj je na głos; właściciel może wybrać inne w Koncie.
secret-name = Nazwa
secret-itself = Sekret
secret-server = Serwer
written-down = Mam to zapisane
role = Może
role-organizer = Organizator
role-dj = DJ
make-organizer = Zrób organizatorem
make-dj = Zrób DJ-em
new-password = Nowe hasło
log-out-everywhere = Wyloguj wszędzie
remove = Usuń
seen = ostatnio
add-person = Dodaj osobę
add-person-line = DJ-e widzą swoje stanowiska, organizatorzy wszystko. Na początek hasło jest wymyślane.
my-desks = Moje stanowiska
my-desks-line = Stanowisko to jeden laptop, który mówi, co grasz.
add-desk = Utwórz token dla laptopa
password-now = Obecne hasło
password-next = Nowe hasło, co najmniej dziesięć znaków
my-browsers = Gdzie jestem zalogowany
this-browser = ta
problem-not-logged-in = Nie jesteś zalogowany.
problem-not-an-organizer = To jest dla organizatorów.
problem-last-organizer = Ktoś musi pozostać organizatorem. Najpierw zrób nim kogoś innego.
problem-name-taken = Ta nazwa jest zajęta. Nazw unieważnionych tokenów nie używa się ponownie.
problem-wrong-password = To nie jest twoje hasło.
problem-password-length = Hasło ma od 10 do 200 znaków.
problem-password-guessed = To hasło jest wśród pierwszych, których próbują obcy.
problem-time-zone = Nie ma takiej strefy czasowej. Pisze się je jak Europe/Warsaw.
problem-colour = To nie jest kolor. Pisze się je jak #ff7a59.
