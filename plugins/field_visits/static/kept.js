// What is kept on the telephone: the day as it was last told, what is being typed, and what happened and waits to be told. Nothing of it goes before
// the server has answered for it.
"use strict";
window.Kept = (() => {
  const user = document.getElementById("main").dataset.user;
  const opened = new Promise((done, failed) => {
    const asked = indexedDB.open(`marcador-visits-${user}`, 1);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore("queue", { autoIncrement: true });
      asked.result.createObjectStore("state");
    };
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
  const finished = (request) => new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
  // Writes are done when they are on the disk, not when they were asked for.
  async function write(name, act) {
    const transaction = (await opened).transaction(name, "readwrite", { durability: "strict" });
    const over = new Promise((done, failed) => { transaction.oncomplete = done; transaction.onabort = () => failed(transaction.error); });
    act(...[name].flat().map((one) => transaction.objectStore(one)));
    return over;
  }
  const read = async (name) => (await opened).transaction(name).objectStore(name);

  const get = async (key) => finished((await read("state")).get(key));
  const put = (key, value) => write("state", (store) => store.put(value, key));
  const remove = (key) => write("state", (store) => store.delete(key));
  async function waiting() {
    const store = await read("queue");
    const [keys, values] = await Promise.all([finished(store.getAllKeys()), finished(store.getAll())]);
    return keys.map((key, index) => ({ key, ...values[index] }));
  }
  // All or nothing: a visit's end, its photos, and the draft that they were.
  const queue = (entries, draft) => write(["queue", "state"], (store, state) => {
    for (const entry of entries) store.add(entry);
    if (draft) state.delete(draft);
  });
  const sent = (key) => write("queue", (store) => store.delete(key));
  const refuse = (entry, why) => write("queue", (store) => { const { key, ...rest } = entry; store.put({ ...rest, why }, key); });

  // The page and its files, so that both are there without a network.
  async function keepPage() {
    if (!window.caches || !navigator.serviceWorker) return;
    await navigator.storage?.persist?.(); // so that a full telephone empties other things first
    await navigator.serviceWorker.register("/visits/worker.js", { scope: "/visits" });
    const page = await fetch("/visits", { credentials: "same-origin" });
    if (!page.ok || page.redirected) return;
    const files = [...document.querySelectorAll("script[src], link[href]")].map((one) => one.src || one.href);
    const cache = await caches.open("marcador-visits");
    await cache.addAll(files);
    await cache.put("/visits", page);
    for (const old of await cache.keys()) if (!files.includes(old.url) && new URL(old.url).pathname !== "/visits") await cache.delete(old);
    await navigator.serviceWorker.ready;
  }

  return { get, put, remove, waiting, queue, sent, refuse, keepPage };
})();
