// The inbox: chats by SMS, WhatsApp and e-mail that wait for somebody, the agent's own, and one of them with what is written back.
"use strict";
(() => {
  const { send, clock, money, set, make, whole } = window.Marcador;
  const { t, has, id, own, moment, newKey, save, kept, keepReply, now, opened } = window.Desk;
  const api = (chat, what) => `${own}/chats/${chat}${what ? `/${what}` : ""}`;
  const channel = (name) => has(`channel.${name}`) ? t(`channel.${name}`) : name;
  let told = { waiting: 0, own: 0, unread: 0, mark: 0 }, list = null, talk = null, open = "", sent = [], drawn = "";

  // --- the badge ---------------------------------------------------------------------------------------------------------------------------
  function drawBadge() {
    const count = id("inbox-count");
    set(count, told.unread ? t("unread", whole(told.unread)) : told.waiting ? t("wait", whole(told.waiting)) : told.own ? t("own", whole(told.own)) : "");
    count.hidden = !count.textContent;
    count.className = `badge ${told.unread ? "warn" : told.waiting ? "info" : ""}`;
  }
  addEventListener("desk:inbox", ({ detail }) => { told = detail; drawBadge(); if (!id("inbox").hidden) refresh(); });

  // --- open and closed: a person on the line comes first -------------------------------------------------------------------------------------
  function show(shown) {
    id("inbox").hidden = !shown; id("person").hidden = shown;
    id("inbox-open").setAttribute("aria-expanded", String(shown));
    if (shown) refresh().then(() => (id("chat-text") ?? document.querySelector("#inbox .chat-item") ?? id("inbox-close")).focus());
  }
  const toggle = () => show(id("inbox").hidden);
  for (const name of ["inbox-open", "inbox-close"]) id(name).addEventListener("click", toggle);
  addEventListener("desk:call", () => { if (!id("inbox").hidden) show(false); });

  // --- what is fetched ---------------------------------------------------------------------------------------------------------------------------
  let fetching = null, again = false;
  function refresh() {
    if (fetching) { again = true; return fetching; }
    fetching = (async () => {
      do {
        again = false;
        const answer = await send("GET", `${own}/chats`, undefined, { quiet: true });
        if (!answer.ok) { if (!list) drawFailed(answer.data?.detail); continue; }
        list = answer.data;
        if (open && !list.own.some((one) => one.id === open)) { open = ""; talk = null; }
        drawList();
        await fetchTalk();
      } while (again);
    })().finally(() => { fetching = null; });
    return fetching;
  }
  async function fetchTalk() {
    if (!open) { drawTalk(); return; }
    const whom = open, answer = await send("GET", api(whom), undefined, { quiet: true });
    if (!answer.ok || whom !== open) return;
    talk = answer.data;
    sent = sent.filter((one) => one.chat !== whom || !talk.written.some((its) => its.ours && its.text === one.text && its.at_utc >= one.at_utc));
    drawTalk();
    if (talk.chat.unread && !document.hidden && (await send("POST", api(whom, "seen"), {}, { quiet: true })).ok) {
      const its = list.own.find((one) => one.id === whom);
      if (its) its.unread = 0;
      told.unread = list.own.reduce((sum, one) => sum + one.unread, 0);
      drawBadge(); drawList();
    }
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !id("inbox").hidden) refresh(); });

  // --- the lists ---------------------------------------------------------------------------------------------------------------------------------
  const ago = (iso) => clock((Date.now() - new Date(iso)) / 1000);
  function item(one, mine) {
    const draft = kept.replies[one.id];
    return make("li", {}, make("button", { class: "chat-item", type: "button", id: `chat-${one.id}`, "data-chat": one.id, "aria-current": mine && one.id === open ? "true" : null, on: { click: () => mine ? choose(one.id) : take(one.id) } },
      make("span", { class: "row tight" }, make("strong", {}, mine ? one.name || t("stranger") : channel(one.channel)), one.unread ? make("span", { class: "badge warn plain" }, t("unread", one.unread)) : null),
      make("span", { class: "small muted" }, [mine ? channel(one.channel) : one.campaign, draft ? t("draft_kept") : ""].filter(Boolean).map((word) => `${word} · `).join(""), make("time", { datetime: one.since_utc, "data-since": one.since_utc }, ago(one.since_utc))),
      mine && one.last ? make("span", { class: "small last" }, one.last) : null));
  }
  function drawList() {
    const focused = document.activeElement?.id;
    set(id("inbox-room"), t("room", list.own.length, list.most));
    id("inbox-room").className = `badge plain ${list.own.length >= list.most ? "warn" : ""}`;
    const none = (key) => make("li", { class: "small muted" }, t(key));
    id("chats-own").replaceChildren(...(list.own.length ? list.own.map((one) => item(one, true)) : [none("no_own")]));
    id("chats-waiting").replaceChildren(...(list.waiting.length ? list.waiting.map((one) => item(one, false)) : [none("no_waiting")]));
    if (focused && document.activeElement?.id !== focused) id(focused)?.focus();
    drawPacing();
  }
  function drawFailed(why) { id("chats-own").replaceChildren(make("li", { class: "small bad" }, why || t("waits_for_network"))); id("chats-waiting").replaceChildren(); }
  id("inbox").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || !event.target.matches(".chat-item")) return;
    const all = [...document.querySelectorAll("#inbox .chat-item")];
    event.preventDefault();
    all[(all.indexOf(event.target) + by + all.length) % all.length].focus();
  });
  setInterval(() => { if (!id("inbox").hidden) for (const one of document.querySelectorAll("#inbox [data-since]")) set(one, ago(one.dataset.since)); }, 1000);

  // Who writes and takes no calls is paused for it: the pacer counts nobody twice, and takes nobody away by itself.
  function drawPacing() {
    const writes = now.me.state === "paused" && now.me.reason === "chats";
    set(id("inbox-pacing"), t(writes ? "only_writes" : now.me.state === "paused" || now.me.state === "logged_out" ? "takes_nobody" : "also_called"));
    set(id("inbox-only"), t(writes ? "take_calls" : "only_write"));
    id("inbox-only").hidden = !now.me.leg_up && now.me.state === "logged_out";
  }
  addEventListener("desk:me", drawPacing);
  id("inbox-only").addEventListener("click", () => send("POST", `${own}/${now.me.state === "paused" && now.me.reason === "chats" ? "ready" : "pause"}`, now.me.state === "paused" && now.me.reason === "chats" ? {} : { reason: "chats" }));

  // --- one chat ----------------------------------------------------------------------------------------------------------------------------------
  async function choose(chat) { open = chat; talk = null; drawn = ""; drawList(); await fetchTalk(); }
  async function take(chat) { if ((await send("POST", api(chat, "take"), {})).ok) { open = chat; talk = null; drawn = ""; await refresh(); } else refresh(); }
  async function move(what) { if (open && (await send("POST", api(open, what), {})).ok) { if (what === "close") keepReply(open, ""); if (what !== "identity") { open = ""; talk = null; } await refresh(); (id("chat-text") ?? document.querySelector("#inbox .chat-item") ?? id("inbox-close")).focus(); } }
  function bubble(one) {
    const state = one.ours && has(`message.${one.state}`) ? t(`message.${one.state}`) : "";
    return make("li", { class: one.ours ? "ours" : "" }, one.subject ? make("strong", {}, one.subject) : null, make("p", { class: "pre" }, one.text),
      make("span", { class: `small ${one.state === "failed" ? "bad" : "muted"}` }, [one.at_utc && moment(one.at_utc), talk.identified || one.channel !== talk.chat.channel ? channel(one.channel) : "", one.by?.replace(/^(user|api|plugin|flow)[: ]/, ""), state, ...(one.letters ?? [])].filter(Boolean).join(" · ")));
  }
  function drawTalk() {
    const box = id("chat");
    if (!talk) { drawn = ""; box.replaceChildren(make("div", { class: "empty" }, make("strong", {}, open ? "" : t("choose_chat")), open ? make("span", { class: "loading" }) : make("p", {}, t("choose_chat_why")))); return; }
    const pending = sent.filter((one) => one.chat === open), mark = JSON.stringify([talk, pending]);
    if (mark === drawn && id("chat-text")) return; // what is the same is not drawn again: what is being typed stays
    drawn = mark;
    const its = talk, rows = [...its.written, ...pending].map(bubble);
    const log = make("div", { class: "written", id: "written", tabindex: "0", role: "log", "aria-label": t("written") }, make("ol", {}, ...rows));
    const head = make("div", { class: "row chat-head" }, make("h3", {}, its.person || t("stranger")), its.external_id ? make("span", { class: "muted small" }, `${t("account")} ${its.external_id}`) : null, make("span", { class: "muted small" }, `${channel(its.chat.channel)} ${its.address}`),
      its.identified && its.balance_minor != null ? make("span", { class: "badge plain" }, `${t("balance")} ${money(its.balance_minor, its.currency)}`) : null,
      its.identified && its.days_past_due != null ? make("span", { class: "badge plain" }, `${t("past_due")} ${whole(its.days_past_due)}`) : null,
      its.identified ? make("span", { class: "badge ok" }, t("known")) : null);
    const button = (name, what, key, shown = true) => shown ? make("button", { class: "btn small", type: "button", id: `chat-${what}`, on: { click: () => move(what) } }, t(name), " ", make("kbd", {}, `Alt ${key}`)) : null;
    const acts = make("div", { class: "row" }, button("is_person", "identity", "V", !its.identified && Boolean(its.person)), button("to_bot", "to-bot", "B", Boolean(its.chat.flow)), button("put_back", "put-back", "U"), button("close_chat", "close", "L"));
    if (id("chat-text") && box.dataset.chat === open) { // the field stays as it is, with what is selected in it
      id("chat-head").replaceChildren(head); id("written").replaceWith(log); id("chat-acts").replaceChildren(acts);
    } else {
      const text = make("textarea", { id: "chat-text", rows: "2", maxlength: "4096", "aria-label": t("answer"), placeholder: t(its.can_answer ? "answer_hint" : "cannot_answer"), disabled: !its.can_answer, on: { input: () => keepReply(open, text.value), keydown: (event) => { if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); } } } });
      text.value = kept.replies[open] ?? "";
      const form = make("form", { class: "row nowrap", on: { submit: (event) => { event.preventDefault(); answerThem(text); } } }, text, make("button", { class: "btn primary", type: "submit", disabled: !its.can_answer }, t("send")));
      box.dataset.chat = open;
      box.replaceChildren(make("div", { id: "chat-head" }, head), log, form, make("div", { id: "chat-acts" }, acts));
      if (document.activeElement === document.body || id("inbox").contains(document.activeElement)) text.focus();
    }
    log.scrollTop = log.scrollHeight;
  }
  async function answerThem(field) {
    const text = field.value.trim(), chat = open;
    if (!text) return;
    field.value = "";
    const line = { chat, ours: true, channel: talk.chat.channel, text, state: "queued", at_utc: new Date().toISOString() };
    sent.push(line);
    drawTalk();
    const words = `${t("answer_to", talk.person || channel(talk.chat.channel))}\n${text}`;
    const done = await save(api(chat, "reply"), { text, key: newKey() }, words, () => { keepReply(chat, ""); });
    sent = done ? sent : sent.filter((one) => one !== line);
    if (!done) { if (open === chat && !field.value) { field.value = text; } drawn = ""; drawTalk(); } else if (navigator.onLine) refresh();
  }
  addEventListener("desk:saved", () => { if (!id("inbox").hidden) refresh(); });

  // --- keys: those of the person's card mean the chat while the inbox is open ----------------------------------------------------------------------
  const press = (name) => id(name)?.click();
  Object.assign(window.Desk, { inboxKeys: { i: toggle, a: () => id("chat-text")?.focus(), v: () => press("chat-identity"), b: () => press("chat-to-bot"), u: () => press("chat-put-back"), l: () => press("chat-close") } });
  opened.then(drawBadge);
})();
