// Serves the visitor's page where there is no network. It keeps the page and its files, and nothing that says who is visited: that lies in the
// telephone's database, under its user's name (kept.js).
"use strict";
const CACHE = "marcador-visits";
const PAGE = "/visits";
const ANSWER_WITHIN_MS = 4000;
const KEPT = ["/visits/assets/", "/assets/"];

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname === PAGE) event.respondWith(page(request));
  else if (KEPT.some((path) => url.pathname.startsWith(path))) event.respondWith(file(request));
});

// The server's page where it answers in time, so that a log-in that is over is seen; else the one that was kept.
async function page(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(PAGE);
  const stop = new AbortController();
  const timer = kept && setTimeout(() => stop.abort(), ANSWER_WITHIN_MS);
  try {
    // not `request` itself: one that navigates takes no signal; its redirect, to the log-in, is the browser's to follow
    const answer = await fetch(request.url, { credentials: "same-origin", redirect: "manual", headers: { Accept: "text/html" }, signal: stop.signal });
    if (answer.status < 500 || !kept) return answer;
    return kept;
  } catch (error) {
    if (kept) return kept;
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function file(request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(request)) ?? fetch(request);
}
