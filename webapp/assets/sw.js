// Keeps the shell of the pages and the floors that were seen, for a phone that has lost its network. Pages come from the
// network as long as there is one; nothing that counts is ever answered from here.
const CACHE = "pika-" + "{build}", SHELL = "{shell}";
const PAGES_MAX = 10;

addEventListener("install", event => event.waitUntil(caches.open(CACHE).then(cache => cache.addAll(SHELL)).then(() => skipWaiting())));

addEventListener("activate", event => event.waitUntil(
  caches.keys().then(names => Promise.all(names.filter(name => name.startsWith("pika-") && name !== CACHE).map(name => caches.delete(name)))).then(() => clients.claim())));

addEventListener("fetch", event => {
  const { request } = event, url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  // Their names change with their content.
  if (url.pathname.startsWith("/assets/")) event.respondWith(caches.match(request).then(kept => kept || fetch(request)));
  else if (request.mode === "navigate") event.respondWith(page(event));
});

async function page(event) {
  const { request } = event, { pathname } = new URL(request.url);
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected && pathname.startsWith("/e/")) event.waitUntil(keep(request, answer.clone()));
    return answer;
  } catch {
    return await caches.match(request, { ignoreSearch: true }) || await caches.match("/offline") || Response.error();
  }
}

async function keep(request, answer) {
  const cache = await caches.open(CACHE);
  await cache.put(request, answer);
  const pages = (await cache.keys()).filter(kept => new URL(kept.url).pathname.startsWith("/e/"));
  for (const old of pages.slice(0, -PAGES_MAX)) await cache.delete(old);
}
