// What the desk's scripts share, and what waits in this browser: locked with a key of its user's, until the dialer has taken it.
"use strict";
window.Desk = (() => {
  const { send, toast, make, set, lang } = window.Marcador;
  const id = (name) => document.getElementById(name);
  const said = JSON.parse(id("desk-texts").textContent);
  const t = (key, ...values) => (said[key] ?? key).replace(/\{(\d)\}/g, (_, index) => values[index]);
  const has = (key) => key in said;
  const { agent, user, drafts } = id("main").dataset;
  const own = `/api/v1/agents/${encodeURIComponent(agent)}`;
  const date = (iso) => new Date(iso.length === 10 ? `${iso}T12:00` : iso).toLocaleDateString(lang, { day: "numeric", month: "short", year: "2-digit" });
  const moment = (iso) => new Date(iso).toLocaleString(lang, { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });
  const local = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString();
  // What is sent again because its answer was lost is written once: the server knows it by this.
  const newKey = () => { const b = crypto.getRandomValues(new Uint8Array(16)); b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128; return [...b].map((one, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + one.toString(16).padStart(2, "0")).join(""); };

  /* Who sits here next has another key: what they find is not readable to them, and waits for its own user. Where a browser has no such lock
     (plain HTTP over a network), it is kept for as long as this tab is open, and no longer. */
  const PLACE = `marcador:desk:${user}`;
  const sealed = Boolean(crypto.subtle);
  const shelf = sealed ? localStorage : sessionStorage;
  const kept = { waiting: [], refused: [], draft: null, replies: {} };
  const key = sealed && crypto.subtle.importKey("raw", Uint8Array.from(drafts.match(/../g), (two) => parseInt(two, 16)), "AES-GCM", false, ["encrypt", "decrypt"]);
  const text64 = (bytes) => btoa(Array.from(new Uint8Array(bytes), (one) => String.fromCharCode(one)).join(""));
  const bytes64 = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  let writing = Promise.resolve();

  function persist() {
    drawWaiting();
    const state = JSON.stringify(kept);
    writing = writing.then(async () => {
      try {
        if (!kept.waiting.length && !kept.refused.length && !kept.draft && !Object.keys(kept.replies).length) { shelf.removeItem(PLACE); return; }
        if (!sealed) { shelf.setItem(PLACE, state); return; }
        const iv = crypto.getRandomValues(new Uint8Array(12));
        const locked = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await key, new TextEncoder().encode(state));
        shelf.setItem(PLACE, `${text64(iv)}.${text64(locked)}`);
      } catch { /* no room, or a private window: it stays on the page */ }
    });
    return writing;
  }

  async function open() {
    const found = shelf.getItem(PLACE);
    if (!found) return;
    try {
      let state = found;
      if (sealed) {
        const [iv, locked] = found.split(".").map(bytes64);
        state = new TextDecoder().decode(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, await key, locked));
      }
      const before = JSON.parse(state);
      kept.waiting.unshift(...before.waiting);
      kept.refused.unshift(...before.refused);
      kept.draft ??= before.draft;
      kept.replies = { ...before.replies, ...kept.replies };
    } catch { shelf.removeItem(PLACE); /* of another key: nobody can read it any more */ }
    drawWaiting();
  }
  const opened = open();

  // --- writes: sent at once, or as soon as somebody answers ------------------------------------------------------------------------
  const MOST_TRIES = 5;
  const later = (answer) => answer.away || answer.status === 401 || answer.status === 429;
  async function save(url, body, words, after, match = null) {
    const answer = await send("POST", url, body, { quiet: true, match });
    if (answer.ok) { toast(t("saved")); after?.(answer.data); return true; }
    if (answer.status === 412) { dispatchEvent(new CustomEvent("desk:changed", { detail: { url, body, words, after } })); return false; }
    if (later(answer) || answer.status >= 500) {
      kept.waiting.push({ url, body, words, match, at: Date.now(), tries: 0 });
      persist();
      toast(t("kept"), true);
      after?.(null);
      return true;
    }
    toast(answer.data?.detail || t("kept"), true);
    return false;
  }

  let sending = false;
  async function sendWaiting() {
    if (sending || !kept.waiting.length) return;
    sending = true;
    try {
      while (kept.waiting.length) {
        const [first] = kept.waiting;
        const answer = await send("POST", first.url, first.body, { quiet: true, match: first.match });
        if (later(answer)) return; // nobody there, or logged out: it is sent after the next log-in
        if (answer.status >= 500 && ++first.tries < MOST_TRIES) { persist(); return; }
        kept.waiting.shift();
        if (answer.ok) { toast(t("saved")); dispatchEvent(new Event("desk:saved")); } else kept.refused.push({ ...first, match: null, why: answer.status === 412 ? t("changed_meanwhile") : answer.data?.detail || String(answer.status) }); // sent again by a press, it was read
        persist();
      }
    } finally { sending = false; }
  }
  setInterval(sendWaiting, 2000);
  addEventListener("online", sendWaiting);

  function drawWaiting() {
    const badge = id("waiting"), { waiting, refused } = kept;
    badge.hidden = !waiting.length && !refused.length;
    badge.className = `badge ${refused.length ? "bad" : "warn"}`;
    set(badge, refused.length ? t("not_saved", refused.length) : t("to_save", waiting.length));
    id("kept-list").replaceChildren(...[...refused, ...waiting].map((one) => make("li", { class: "stack" },
      make("p", { class: "strong" }, one.words.split("\n")[0]), make("p", { class: "small pre" }, one.words.split("\n").slice(1).join("\n")),
      make("p", { class: `small ${one.why ? "bad" : "muted"}` }, one.why ?? t("waits_for_network")),
      one.why ? make("div", { class: "row" },
        make("button", { class: "btn small", type: "button", on: { click: () => { kept.refused.splice(kept.refused.indexOf(one), 1); kept.waiting.push({ ...one, why: undefined, tries: 0 }); persist(); sendWaiting(); } } }, t("again")),
        make("button", { class: "btn small danger", type: "button", on: { click: () => { kept.refused.splice(kept.refused.indexOf(one), 1); persist(); } } }, t("throw_away"))) : null)));
  }
  id("waiting").addEventListener("click", () => id("kept").showModal());
  const keepDraft = (draft) => { kept.draft = draft; return persist(); };
  const keepReply = (chat, text) => { if (text) kept.replies[chat] = text; else delete kept.replies[chat]; return persist(); };

  /* me: the agent as the stream tells; account, view: whom they are shown or talk to; attempt: the conversation; words: what may be said of it;
     version: of the account as it is shown, so that two who change it know of each other. */
  const now = { me: {}, account: null, view: null, attempt: "", campaign: "", words: null, version: null };
  return { t, has, id, agent, own, date, moment, local, newKey, save, sendWaiting, opened, kept, keepDraft, keepReply, now };
})();
