// Keeps pages current and sends what is tapped, also later. Every page is complete without it.
const body = document.body, { live: floor, screen, desk, delay } = body.dataset;
const lang = document.documentElement.lang;
const $ = (css, from = document) => from.querySelector(css), $$ = (css, from = document) => [...from.querySelectorAll(css)];
const show = (id, shown) => { const note = document.getElementById(id); if (note) note.hidden = !shown; };
const load = (key, other) => { try { return JSON.parse(localStorage[key]) ?? other; } catch { return other; } };
const save = (key, value) => { try { localStorage[key] = JSON.stringify(value); } catch { /* a private window: kept while it is open */ } };

// --- What goes wrong here is told to the server, three times at most, and with nothing of whoever looks.
let complaints = 0;
const complain = said => { if (complaints++ < 3) navigator.sendBeacon?.("/client-error", `${said}`.slice(0, 300)); };
addEventListener("error", event => { if (event.message) complain(`${event.message} ${event.filename?.split(/[?#]/)[0].split("/").pop()}:${event.lineno}:${event.colno}`); });
addEventListener("unhandledrejection", event => complain(`unhandled ${event.reason}`));

// --- What this dancer said: it is never in what goes out to everybody.
let mine = load("pika.mine", {}), taps = load("pika.taps", []);
if (body.dataset.forgotten) { mine = {}; taps = []; save("pika.mine", mine); save("pika.taps", taps); }

// What a button is about: itself says it in a list, or else the form around it.
const about = button => button.dataset.play || button.form?.elements.play_id?.value || button.form?.elements.poll_id?.value;
const said = (id, kind) => mine[id]?.[kind];

function note(id, kind, value) {
  const { [id]: one = {}, ...rest } = mine;
  mine = { ...rest, [id]: { ...one, [kind]: value } }; // the newest comes last
  for (const old of Object.keys(mine).slice(0, -80)) delete mine[old];
  save("pika.mine", mine);
}

const press = (button, on) => button.setAttribute("aria-pressed", on);

function personal(root = document) {
  for (const button of $$("[data-tap]", root)) {
    const { tap: kind, value: mean } = button.dataset, value = said(about(button), kind);
    if (value === undefined) continue;
    const on = kind === "tempo" || kind === "vote" ? value === mean : value;
    press(button, on);
    if (kind === "like" && !button.dataset.play) button.value = !on;
    if (kind === "tempo") button.value = on ? "" : mean;
  }
  for (const part of $$("[data-of]", root)) part.hidden = part.dataset.of !== desk;
}

// The server knows what was said elsewhere, or before this browser forgot it.
function learn() {
  for (const button of $$("[data-tap][aria-pressed=true]")) {
    const { tap: kind, value } = button.dataset, id = about(button);
    if (said(id, kind) === undefined) note(id, kind, value ?? true);
  }
}

// --- Taps: shown at once, kept until the server has stored them.
function key() { // UUID version 7: it tells when it was tapped
  const random = crypto.getRandomValues(new Uint8Array(10));
  const hex = Date.now().toString(16).padStart(12, "0") + "7" + [...random].map(b => b.toString(16).padStart(2, "0")).join("").slice(0, 19);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, (_, a, b, c, d, e) => `${a}-${b}-${c}-8${d.slice(1)}-${e}`);
}

addEventListener("submit", event => {
  const form = event.target, button = event.submitter;
  if (form.dataset.send) { event.preventDefault(); send(form, button); return; }
  const kind = button?.dataset.tap, id = kind && about(button), before = id && said(id, kind);
  if (!id) return;
  event.preventDefault();
  const on = button.getAttribute("aria-pressed") === "true", mean = button.dataset.value;
  const value = kind === "like" ? !on : kind === "tempo" ? (on ? "" : mean) : kind === "vote" ? mean : true;
  const json = kind === "like" ? { on: value } : kind === "tempo" ? { wish: value || null } : kind === "vote" ? { option: +value } : {};
  note(id, kind, value);
  personal();
  navigator.vibrate?.(12);
  taps = taps.filter(tap => tap.id !== id || tap.kind !== kind); // the newest wish is the one that counts
  taps.push({ id, kind, before, url: button.getAttribute("formaction") || form.getAttribute("action"), at: Date.now(), body: { [kind === "vote" ? "poll_id" : "play_id"]: id, ...json, key: key() } });
  save("pika.taps", taps);
  flush();
});

let sending = false, later, known = false;
async function flush() {
  clearTimeout(later);
  if (sending) return;
  sending = true;
  let wait = 0;
  taps = taps.filter(tap => Date.now() - tap.at < 12 * 3600e3);
  while (taps.length && !wait) {
    const tap = taps[0];
    let status = 0, after = 0;
    try {
      const answer = await fetch(tap.url, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(tap.body) });
      status = answer.status; after = +answer.headers.get("retry-after");
      if (status === 403 && !known) { known = true; await fetch(location.href); continue; } // now there is a cookie
    } catch { /* no network: the tap stays */ }
    if (status === 429 || status === 202 || status >= 500 || !status) {
      wait = (after || (status ? 3 : 10)) * 1000 + Math.random() * 500;
      show("unsent", !status);
      refused(status === 429 && after > 5 && "busy");
    } else {
      taps = taps.filter(other => other !== tap);
      refused(status !== 200 && "no");
      if (status !== 200 && said(tap.id, tap.kind) !== tap.before) { note(tap.id, tap.kind, tap.before ?? (tap.kind === "like" ? false : "")); personal(); }
    }
    save("pika.taps", taps);
  }
  if (!taps.length) show("unsent", false);
  sending = false;
  if (wait) later = setTimeout(flush, wait);
}

let silent;
function refused(why) {
  const note = document.getElementById("refused");
  if (!note || !why) return;
  note.textContent = note.dataset[why];
  note.hidden = false;
  clearTimeout(silent);
  silent = setTimeout(() => note.hidden = true, 6000);
}

// --- The console: one answer for each form, and the page stays where it is.
async function send(form, button) {
  // A disabled button would not be among the fields.
  const outcome = document.getElementById("outcome"), fields = new URLSearchParams(new FormData(form, button));
  button?.setAttribute("disabled", "");
  try {
    const answer = await fetch(form.action, { method: "POST", headers: { Accept: "application/json" }, body: fields });
    outcome.textContent = await answer.text();
    outcome.classList.toggle("bad", !answer.ok);
    if (answer.ok) { form.reset(); const fold = form.closest("details"); if (fold) fold.open = false; }
    if (answer.status === 401) location.reload();
  } catch { outcome.textContent = $("#offline")?.textContent || ""; outcome.classList.add("bad"); }
  button?.removeAttribute("disabled");
}

// --- Live: fragments swapped by id.
const SILENCE_MS = 45_000; // the server says something every 20 s
const POLL_MS = 10_000;
let socket, heard = 0, failures = 0, timer, skew = 0, etag = "", build = "", wasHidden = 0;
const held = new Map(); // parts in which somebody types

function swap(html) {
  const parts = document.createElement("template");
  parts.innerHTML = html; // our own server's markup; the CSP lets no script in it run
  for (const part of [...parts.content.children]) part.id === "order" ? order(part) : part.localName === "li" ? rows.set(part.id, part) : put(part);
  readClock();
  retitle();
  elapsed();
}

function put(part) {
  const old = part.id && document.getElementById(part.id), focus = document.activeElement;
  if (!old) return;
  if (old.contains(focus) && focus.matches("input, textarea, select")) { held.set(part.id, part); return; }
  held.delete(part.id);
  personal(part);
  for (const fold of $$("details[open]", old)) $$("details", part).filter(one => $("summary", one).textContent === $("summary", fold).textContent).forEach(one => one.open = true);
  const liked = +old.dataset.likes < +part.dataset.likes, id = old.contains(focus) && focus.id;
  old.replaceWith(part);
  if (id) document.getElementById(id)?.focus({ preventScroll: true });
  if (liked) part.classList.add("beat");
}

// Rows come one by one, then how they stand.
const rows = new Map();
function order(part) {
  const list = $("#history ol"), ids = part.value.split(" ").filter(id => id);
  if (!list) return;
  for (const old of [...list.children]) if (!ids.includes(old.id)) old.remove();
  ids.forEach((id, place) => {
    const new_ = rows.get(id), old = document.getElementById(id);
    if (new_ && old) put(new_);
    const row = document.getElementById(id) || new_;
    if (!row) return;
    if (!row.isConnected) personal(row);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null);
  });
  rows.clear();
}

addEventListener("focusout", () => setTimeout(() => [...held.values()].forEach(put)));

function retitle() {
  if (screen === "console") return;
  const title = $("#now .title"), artist = $("#now .artist"), spoken = document.getElementById("spoken");
  if (title) document.title = (artist ? artist.textContent + " – " : "") + title.textContent;
  // A live region is heard only if it stays: songs and notices, and no counters.
  const news = [...$$(".said"), title, artist].map(part => part?.textContent).filter(text => text).join(". ");
  if (spoken && spoken.textContent !== news) spoken.textContent = news;
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
  for (const since of $$("time[data-since]")) {
    const s = Math.max(0, Math.floor((Date.now() + skew - Number(since.dataset.since)) / 1000)), two = n => String(n).padStart(2, "0");
    const text = since.dataset.words.replace("%t", (s < 3600 ? Math.floor(s / 60) : Math.floor(s / 3600) + ":" + two(Math.floor(s / 60) % 60)) + ":" + two(s % 60));
    if (since.textContent !== text) since.textContent = text;
  }
}

function connect() {
  clearTimeout(timer);
  drop();
  const mine = socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws?floor=${floor}&screen=${screen}&lang=${lang}`);
  const patience = setTimeout(() => mine === socket && again(), 6000);
  mine.onmessage = event => {
    if (mine !== socket) return;
    clearTimeout(patience);
    if (failures || !heard) flush();
    heard = Date.now(); failures = 0;
    show("offline", false);
    if (event.data) delay > 0 ? setTimeout(swap, delay * 1000, event.data) : swap(event.data);
  };
  mine.onclose = event => { clearTimeout(patience); if (mine === socket) again(event.code === 1012 ? 5000 : 0); };
}

function drop() { if (socket) { const old = socket; socket = null; old.close(); } }

// Full jitter: a restarted server is not met by everybody at once.
function again(spread) {
  drop();
  failures++;
  if (failures > 1) show("offline", true);
  if (failures > 3) poll();
  const wait = spread || Math.min(15_000, 500 * 2 ** failures);
  clearTimeout(timer);
  timer = setTimeout(connect, 150 + Math.random() * wait);
}

// For networks that let no WebSocket through.
async function poll() {
  try {
    const answer = await fetch(`/e/${floor}/fragments?screen=${screen}&lang=${lang}`, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.status === 200) { etag = answer.headers.get("etag") || ""; swap(await answer.text()); }
    if (answer.ok || answer.status === 304) { heard = Date.now(); show("offline", false); flush(); }
  } catch { /* still away; the next try says so */ }
}

// A socket that slept lies about its state: coming back always means a new one.
function back() { if (Date.now() - wasHidden > 500) { failures = 0; clearTimeout(timer); timer = setTimeout(connect, 100 + Math.random() * 400); awake(); } }

// A screen that only shows must not go dark; browsers allow it over HTTPS.
function awake() { if (screen === "stage") navigator.wakeLock?.request("screen").catch(() => {}); }

// Pages that are not live look again now and then, and stay where they are.
async function lookAgain() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href), page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.body.dataset.live || page.body.className !== body.className) location.reload();
    else if ($("main", page).innerHTML !== $("main").innerHTML) $("main").replaceWith($("main", page));
  } catch { /* the next time */ }
}
if (body.dataset.again) setInterval(lookAgain, body.dataset.again * 1000);

// A cover that cannot be had gives way to the record behind it.
addEventListener("error", event => { if (event.target.matches?.(".cover")) event.target.remove(); }, true);
for (const cover of $$(".cover")) if (cover.complete && !cover.naturalWidth) cover.remove();

personal();
learn();
if (taps.length) flush();
addEventListener("online", flush);
if (floor) {
  document.addEventListener("visibilitychange", () => { if (document.hidden) wasHidden = Date.now(); else back(); });
  addEventListener("pageshow", event => event.persisted && back());
  addEventListener("online", back);
  let last = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - last > 30_000) back(); // the machine slept
    else if (socket && heard && now - heard > SILENCE_MS) { heard = now; again(); }
    else if (failures > 3 && now - heard > POLL_MS) { heard = now; poll(); }
    last = now;
    elapsed();
  }, 1000);
  readClock(); elapsed(); connect(); awake();
}
if (isSecureContext) navigator.serviceWorker?.register("/sw.js").catch(() => {});
