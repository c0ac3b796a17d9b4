// Keeps the floor page current: swaps fragments by id, reconnects, and says so when it cannot.
// The page is complete without it.
const floor = document.body.dataset.live;
const SILENCE_MS = 45_000; // the server says something every 20 s
const POLL_MS = 10_000;
let socket, heard = 0, failures = 0, timer, skew = 0, etag = "", build = "", wasHidden = 0;

const offline = shown => { const note = document.getElementById("offline"); if (note) note.hidden = !shown; };

function swap(html) {
  const parts = document.createElement("template");
  parts.innerHTML = html; // our own server's markup; the CSP lets no script in it run
  for (const part of [...parts.content.children]) {
    const old = part.id && document.getElementById(part.id);
    if (old) old.replaceWith(part);
  }
  readClock();
  const title = document.querySelector("#now .title"), artist = document.querySelector("#now .artist");
  if (title) document.title = (artist ? artist.textContent + " – " : "") + title.textContent;
  elapsed();
}

function readClock() {
  const clock = document.getElementById("clock");
  if (!clock || clock.dataset.read) return;
  clock.dataset.read = "1";
  skew = Number(clock.value) - Date.now();
  if (build && build !== clock.dataset.build) setTimeout(() => location.reload(), Math.random() * 5000);
  build = build || clock.dataset.build;
}

function elapsed() {
  for (const since of document.querySelectorAll("time[data-since]")) {
    const s = Math.max(0, Math.floor((Date.now() + skew - Number(since.dataset.since)) / 1000));
    since.textContent = s < 3600 ? `on for ${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` : `for over an hour`;
  }
}

function connect() {
  clearTimeout(timer);
  drop();
  const mine = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws?floor=${floor}`);
  const patience = setTimeout(() => mine === socket && again(), 6000);
  mine.onmessage = event => {
    if (mine !== socket) return;
    clearTimeout(patience);
    heard = Date.now(); failures = 0;
    offline(false);
    if (event.data) swap(event.data);
  };
  mine.onclose = event => { clearTimeout(patience); if (mine === socket) again(event.code === 1012 ? 5000 : 0); };
}

function drop() { if (socket) { const old = socket; socket = null; old.close(); } }

// Full jitter: a restarted server is not met by everybody at once.
function again(spread) {
  drop();
  failures++;
  if (failures > 1) offline(true);
  if (failures > 3) poll();
  const wait = spread || Math.min(15_000, 500 * 2 ** failures);
  clearTimeout(timer);
  timer = setTimeout(connect, 150 + Math.random() * wait);
}

// For networks that let no WebSocket through.
async function poll() {
  try {
    const answer = await fetch(`/e/${floor}/fragments`, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.status === 200) { etag = answer.headers.get("etag") || ""; swap(await answer.text()); }
    if (answer.ok || answer.status === 304) { heard = Date.now(); offline(false); }
  } catch { /* still away; the next try says so */ }
}

// A socket that slept lies about its state: coming back always means a new one.
function back() { if (Date.now() - wasHidden > 500) { failures = 0; clearTimeout(timer); timer = setTimeout(connect, 100 + Math.random() * 400); } }

document.addEventListener("visibilitychange", () => { if (document.hidden) wasHidden = Date.now(); else back(); });
addEventListener("pageshow", event => event.persisted && back());
addEventListener("online", back);
let last = Date.now();
setInterval(() => {
  const now = Date.now();
  if (now - last > 30_000) back(); // the machine slept
  else if (socket && heard && now - heard > SILENCE_MS) { heard = now; again(); }
  else if (!socket && failures > 3 && now - heard > POLL_MS) { heard = now; poll(); }
  last = now;
  elapsed();
}, 1000);
readClock(); elapsed(); connect();
