// The agent's desk. State and call come by a stream; the person is asked of the API the moment they are bridged; what is typed is kept until saved.
"use strict";
(() => {
  const { send, stream, toast, clock, whole, money, set, make, lang } = window.Marcador;
  const said = JSON.parse(document.getElementById("desk-texts").textContent);
  const t = (key, ...values) => (said[key] ?? key).replace(/\{(\d)\}/g, (_, index) => values[index]);
  const id = (name) => document.getElementById(name);
  const agent = id("main").dataset.agent;
  const own = `/api/v1/agents/${encodeURIComponent(agent)}`;
  const RESTRICTIONS = ["do_not_call", "dispute", "attorney", "bankruptcy", "deceased", "cease_contact", "hardship", "wrong_number", "workplace"];
  const OF_PHONE = ["wrong_number", "workplace"];
  const PAUSES = ["lunch", "bathroom", "training", "coaching"];

  let me = {}, account = null, view = null, words = null, shownAttempt = "";
  const date = (iso) => new Date(iso.length === 10 ? `${iso}T12:00` : iso).toLocaleDateString(lang, { day: "numeric", month: "short", year: "2-digit" });
  const moment = (iso) => new Date(iso).toLocaleString(lang, { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit" });
  const local = (at) => new Date(at - at.getTimezoneOffset() * 60000).toISOString();

  // --- what waits for the network: kept in this browser until it has been taken ---------------------------------------------
  const QUEUE = `marcador:queue:${agent}`, DRAFT = `marcador:draft:${agent}`;
  const read = (key, otherwise) => { try { return JSON.parse(localStorage.getItem(key)) ?? otherwise; } catch { return otherwise; } };
  const write = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* private mode: it stays on the page */ } };
  let sending = false;

  // What is sent again because its answer was lost is written once: the server knows it by this.
  const newKey = () => { const b = crypto.getRandomValues(new Uint8Array(16)); b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128; return [...b].map((one, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + one.toString(16).padStart(2, "0")).join(""); };
  async function save(url, body, after) {
    const answer = await send("POST", url, body, { quiet: true });
    if (answer.ok) { toast(t("saved")); after?.(answer.data); return true; }
    if (answer.away) { write(QUEUE, [...read(QUEUE, []), { url, body }]); toast(t("kept"), true); after?.(null); return true; }
    toast(answer.data?.detail || t("kept"), true);
    return false;
  }

  async function sendWaiting() {
    if (sending) return;
    sending = true;
    try {
      for (let waiting = read(QUEUE, []); waiting.length; waiting = read(QUEUE, [])) {
        const answer = await send("POST", waiting[0].url, waiting[0].body, { quiet: true });
        if (answer.away || answer.status === 401) return; // logged out: it is sent after the next log-in
        write(QUEUE, read(QUEUE, []).slice(1));
        if (answer.ok) { toast(t("saved")); if (view) fetchPerson(); } else toast(answer.data?.detail || "", true);
      }
    } finally { sending = false; }
  }
  setInterval(sendWaiting, 2000);
  addEventListener("online", sendWaiting);
  addEventListener("marcador:logout", () => { localStorage.removeItem(QUEUE); localStorage.removeItem(DRAFT); });

  const TYPED = ["note", "amount", "first", "many", "every", "when", "disposition", "reason"];
  const keep = () => { if (shownAttempt) write(DRAFT, { attempt: shownAttempt, typed: Object.fromEntries(TYPED.map((name) => [name, id(name).value])) }); };
  function restore() {
    const draft = read(DRAFT, null);
    const typed = draft?.attempt === shownAttempt ? draft.typed : {};
    const later = new Date(Date.now() + 7 * 86400000), tomorrow = new Date(Date.now() + 86400000);
    tomorrow.setMinutes(0, 0, 0);
    const empty = { note: "", amount: "", first: local(later).slice(0, 10), many: "1", every: "30", when: local(tomorrow).slice(0, 16), disposition: "", reason: "" };
    for (const name of TYPED) id(name).value = typed[name] ?? empty[name];
    id("mine").checked = false;
    for (const name of ["promise-said", "callback-said"]) { set(id(name), ""); id(name).classList.remove("wrong"); }
    needsReason();
  }
  id("work").addEventListener("input", keep);

  // --- my state --------------------------------------------------------------------------------------------------------------
  async function act(button, url, body) {
    button.classList.add("busy");
    const answer = await send("POST", url, body ?? {});
    button.classList.remove("busy");
    return answer.ok;
  }
  const press = (name, path, body) => id(name).addEventListener("click", () => act(id(name), `${own}/${typeof path === "function" ? path() : path}`, body?.()));
  press("ready", "ready"); press("login", "login"); press("end-shift", "logout");
  press("pause", "pause", () => ({ reason: id("pause-reason").value }));
  press("hold", () => me.talk === "held" ? "resume" : "hold"); press("mute", () => me.muted ? "unmute" : "mute");
  press("join", "join"); press("dismiss", "dismiss"); press("more-time", "wrap_up", () => ({ seconds: 30 + Math.max(0, left()) }));
  press("record", "recording", () => ({ switch: me.recording === "pause" ? "on" : "pause" }));
  id("hang-up").addEventListener("click", () => act(id("hang-up"), `/api/v1/calls/${me.attempt_id}/hangup`));
  for (const name of ["consult", "transfer"]) id(name).addEventListener("click", async () => {
    const to = id("to").value.trim();
    if (!to && name === "consult") { toast(t("consult_who"), true); id("to").focus(); return; }
    const body = to ? { to_agent: to } : {};
    const first = await send("POST", `${own}/${name}`, body, { quiet: Boolean(to) });
    if (!first.ok && to) await send("POST", `${own}/${name}`, { to_extension: to });
  });
  id("pause-reason").append(...PAUSES.map((name) => make("option", { value: name }, t(`reason.${name}`))));

  const left = () => me.wrap_up_s == null ? 0 : me.since + me.wrap_up_s - Date.now() / 1000;
  function tick() {
    if (!me.state) return;
    set(id("clock"), clock(Date.now() / 1000 - me.since));
    const wrapping = me.state === "wrap_up" && me.wrap_up_s != null;
    id("wrap").hidden = id("more-time").hidden = !wrapping;
    if (wrapping) set(id("wrap"), t("wrap", clock(left())));
  }
  setInterval(tick, 250);

  function drawMe() {
    const up = me.up !== false;
    const phone = id("phone");
    phone.className = `badge ${!up ? "bad" : me.leg_up ? "ok" : "warn"}`;
    set(phone, !up ? t("engine_away") : me.leg_up ? t("phone_up") : t("phone_down"));
    if (!up) return;
    const talking = me.state === "talking", out = me.state === "logged_out";
    id("now").dataset.state = me.state;
    set(id("state"), t(`state.${me.state}`));
    set(id("why"), me.state === "ready" ? t("waiting_long") : me.state === "paused" ? t(said[`reason.${me.reason}`] ? `reason.${me.reason}` : me.reason) : me.campaign ?? "");
    set(id("talk"), [me.talk && me.talk !== "together" ? t(`talk.${me.talk}`) : "", me.third].filter(Boolean).join(" · "));
    id("login").hidden = !out; id("ready").hidden = out; id("end-shift").hidden = out;
    id("ready").disabled = me.state === "ready" || me.state === "reserved" || talking;
    id("pause").disabled = id("pause-reason").disabled = out;
    for (const name of ["hold", "mute", "to", "consult", "transfer", "hang-up"]) id(name).disabled = !talking;
    for (const name of ["join", "dismiss"]) id(name).disabled = !talking || !me.third;
    id("hold").setAttribute("aria-pressed", String(me.talk === "held"));
    id("mute").setAttribute("aria-pressed", String(Boolean(me.muted)));
    id("record").hidden = !talking || !me.recording;
    id("record").setAttribute("aria-pressed", String(me.recording === "pause"));
    drawDay();
    tick();
  }

  // --- my day ----------------------------------------------------------------------------------------------------------------
  let day = null;
  function drawDay() {
    const mine = day?.agents.find((one) => one.agent === agent);
    const rows = [[t("talks"), whole(mine?.talks ?? me.conversations ?? 0), mine ? "" : t("since_login")], [t("my_promises"), whole(mine?.promises ?? 0), day ? `${t("team")} ${whole(day.promised.count)}${day.targets.promises ? ` · ${t("goal", whole(day.targets.promises))}` : ""}` : ""]];
    const box = id("day");
    if (!box.children.length) box.append(...rows.map(() => make("div", { class: "figure" }, make("dt"), make("dd"), make("dd", { class: "under" }))));
    rows.forEach(([label, value, under], index) => { const [dt, dd, small] = box.children[index].children; set(dt, label); set(dd, value); set(small, under); });
  }
  async function fetchDay() {
    if (!me.campaign) return;
    const answer = await send("GET", `/api/v1/campaigns/${encodeURIComponent(me.campaign)}/day`, undefined, { quiet: true });
    if (answer.ok) { day = answer.data; drawDay(); }
  }
  setInterval(fetchDay, 30000);

  // --- the person on the line --------------------------------------------------------------------------------------------------
  async function fetchPerson() {
    if (!account) {
      const found = await send("GET", `${own}/account`, undefined, { quiet: true });
      account = found.ok ? found.data.account_id : null;
      if (!account) return;
    }
    const asked = account, answer = await send("GET", `/api/v1/accounts/${asked}`, undefined, { quiet: true });
    if (answer.ok && asked === account) { view = answer.data; drawPerson(); }
  }

  function nextStep(found) {
    const owed = money(found.account.balance_minor, found.account.currency), late = found.account.days_past_due ?? 0;
    const open = found.promise, due = open?.instalments.find((one) => one.paid_minor < one.amount_minor);
    if (found.restrictions.length) return t("restricted", found.restrictions.map((one) => t(said[`restrict.${one.kind}`] ? `restrict.${one.kind}` : one.kind)).join(", "));
    if (due) return t("next_promise", money(due.amount_minor - due.paid_minor, open.currency), date(due.due_date));
    const lately = found.payments.find((one) => Date.now() - Date.parse(one.paid_on) < 15 * 86400000);
    if (lately) return t("next_paid", money(lately.amount_minor, lately.currency));
    if (found.promises.some((one) => one.state === "broken")) return t("next_broken");
    return late <= 30 ? t("next_early", owed) : late <= 90 ? t("next_middle", owed) : t("next_late");
  }

  const word = (name) => t(["disposition", "kind", "restrict", "outcome"].map((table) => `${table}.${name}`).find((key) => key in said) ?? name);
  const fact = (label, value) => value == null || value === "" ? null : make("div", {}, make("dt", {}, label), make("dd", {}, String(value)));
  const figure = (label, value, tone) => make("div", { class: "figure" }, make("dt", {}, label), make("dd", { class: tone ?? "" }, value));

  function drawPerson() {
    const found = view, box = id("person"), its = found.account;
    const name = found.person.name || t("account") + " " + its.external_id;
    const head = make("div", { class: "who" }, make("h2", { id: "person-name" }, name), make("span", { class: "muted" }, `${t("account")} ${its.external_id}`));
    const attributes = make("dl", { class: "facts part" }, ...found.attributes.map((one) => fact(one.name, one.value)));
    if (!found.identified) {
      const yes = make("button", { class: "btn primary", type: "button", id: "verify", on: { click: verify } }, t("is_person"), " ", make("kbd", {}, "Alt V"));
      const third = make("p", { class: "say", hidden: true }, t("third_script", name));
      const no = make("button", { class: "btn", type: "button", on: { click: () => { third.hidden = false; id("disposition").value = "third_party"; keep(); needsReason(); } } }, t("is_third"));
      box.replaceChildren(head, make("div", { class: "part" }, make("p", { class: "say" }, t("greeting", name))),
        make("div", { class: "verify" }, make("h3", {}, t("verify")), make("p", {}, t("verify_why")), attributes, make("div", { class: "row" }, yes, no), third));
      return;
    }
    const late = its.days_past_due;
    const others = found.other_accounts.map((one) => `${one.external_id} ${money(one.balance_minor, one.currency)}`).join(" · ");
    box.replaceChildren(head,
      make("dl", { class: "figures" }, figure(t("balance"), money(its.balance_minor, its.currency)), figure(t("past_due"), late == null ? "–" : whole(late), late > 90 ? "bad" : late > 30 ? "warn" : ""), figure(t("due"), its.due_date ? date(its.due_date) : "–"), figure(t("product"), its.product || "–")),
      make("div", { class: "part stack" }, make("h3", {}, t("next_step")), make("p", { class: "say", id: "next" }, nextStep(found))),
      make("dl", { class: "facts part" }, fact(t("creditor"), its.creditor), ...found.attributes.map((one) => fact(one.name, one.value))),
      ...(others ? [make("p", { class: "part small muted" }, t("other_accounts", others))] : []),
      make("div", { class: "part" }, make("h3", {}, t("history")), found.timeline.length ? make("ol", { class: "timeline" }, ...found.timeline.slice(0, 60).map((one) =>
        make("li", { class: "small" }, make("time", { class: "muted", datetime: one.at_utc }, moment(one.at_utc)), make("span", { class: "strong" }, t(said[`what.${one.what}`] ? `what.${one.what}` : one.what)),
          make("span", { class: "told" }, [one.result && word(one.result), one.text, one.seconds ? clock(one.seconds) : "", one.by].filter(Boolean).join(" · ")),
          make("span", { class: "num" }, one.amount_minor == null ? "" : money(one.amount_minor, its.currency))))) : make("p", { class: "muted" }, t("no_history"))));
    promiseWords();
  }

  async function verify() {
    const answer = await send("POST", `/api/v1/accounts/${account}/identity`, { attempt: shownAttempt || null });
    if (answer.ok) { await fetchPerson(); id("amount").focus(); }
  }

  // --- what is done about it ---------------------------------------------------------------------------------------------------
  async function drawWords() {
    if (!me.campaign) return;
    const answer = await send("GET", `/api/v1/campaigns/${encodeURIComponent(me.campaign)}/dispositions`, undefined, { quiet: true });
    if (!answer.ok) return;
    words = answer.data;
    const depth = new Map();
    id("disposition").replaceChildren(...words.dispositions.map((one) => {
      depth.set(one.name, one.under ? (depth.get(one.under) ?? 0) + 1 : 0);
      const label = one.label !== one.name ? one.label : said[`disposition.${one.name}`] ?? one.name;
      return make("option", { value: one.name }, "\u2003".repeat(depth.get(one.name)) + label);
    }));
    id("reason").replaceChildren(make("option", { value: "" }, "–"), ...Object.entries(words.reasons).map(([name, label]) => make("option", { value: name }, label || name)));
    restore();
  }
  function needsReason() {
    const word = words?.dispositions.find((one) => one.name === id("disposition").value);
    id("reason-field").hidden = !word?.needs_reason;
  }
  id("disposition").addEventListener("change", needsReason);

  function minor(text) {
    const plain = text.replace(/[\s$]/g, "").replace(/,(?=\d{3}(\D|$))/g, "").replace(",", ".");
    return /^\d+(\.\d{1,2})?$/.test(plain) ? Math.round(Number(plain) * 100) : NaN;
  }
  function instalments() {
    const total = minor(id("amount").value), many = Math.max(1, Math.min(36, Number(id("many").value) || 1)), every = Number(id("every").value);
    const each = Math.floor(total / many), first = new Date(`${id("first").value}T12:00`);
    return Array.from({ length: many }, (_, index) => {
      const due = new Date(first);
      if (every === 30) due.setMonth(due.getMonth() + index); else due.setDate(due.getDate() + every * index);
      return { due_date: isNaN(due) ? "" : local(due).slice(0, 10), amount_minor: index === many - 1 ? total - each * (many - 1) : each };
    });
  }
  function promiseWrong() {
    const total = minor(id("amount").value), owed = view?.account.balance_minor;
    if (!(total > 0)) return ["amount", t("amount_wrong")];
    if (owed != null && total > owed) return ["amount", t("amount_over", money(owed, view.account.currency))];
    if (!id("first").value || id("first").value < local(new Date()).slice(0, 10)) return ["first", t("date_wrong")];
    return null;
  }
  function promiseWords(strict = false) {
    const line = id("promise-said"), wrong = id("amount").value || strict ? promiseWrong() : null;
    for (const name of ["amount", "first"]) id(name).setAttribute("aria-invalid", String(wrong?.[0] === name));
    line.classList.toggle("wrong", Boolean(wrong));
    set(line, wrong ? wrong[1] : id("amount").value ? t("schedule", id("many").value, instalments().slice(0, 3).map((one) => `${date(one.due_date)} ${money(one.amount_minor, view?.account.currency)}`).join(" · ") + (Number(id("many").value) > 3 ? " …" : "")) : "");
    return wrong;
  }
  for (const name of ["amount", "first", "many", "every"]) id(name).addEventListener("input", () => promiseWords());
  id("pane-promise").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = promiseWords(true);
    if (wrong) { id(wrong[0]).focus(); return; }
    const done = await save(`/api/v1/accounts/${account}/promises`, { key: newKey(), instalments: instalments(), attempt: shownAttempt || null, agent }, () => { id("amount").value = ""; id("disposition").value = "promise"; needsReason(); keep(); fetchPerson(); fetchDay(); });
    if (done) id("disposition").focus();
  });
  id("pane-callback").addEventListener("submit", async (event) => {
    event.preventDefault();
    const at = new Date(id("when").value);
    if (isNaN(at) || at < new Date()) { set(id("callback-said"), t("date_wrong")); id("callback-said").classList.add("wrong"); id("when").focus(); return; }
    set(id("callback-said"), "");
    await save(`/api/v1/accounts/${account}/callbacks`, { campaign: me.campaign, at: at.toISOString(), agent: id("mine").checked ? agent : null }, () => { id("disposition").value = "callback"; needsReason(); keep(); fetchPerson(); });
  });
  const restrict = (kind) => save(`/api/v1/accounts/${account}/restrictions`, OF_PHONE.includes(kind) ? { kind, scope: "phone", phone: view.phones[0].id } : { kind, scope: kind === "dispute" ? "account" : "person" }, () => { fetchPerson(); tab("promise"); });
  id("restrictions").append(...RESTRICTIONS.map((kind, index) => make("button", { class: "btn small", type: "button", "data-kind": kind, on: { click: () => restrict(kind) } }, make("kbd", {}, String(index + 1)), t(`restrict.${kind}`))));
  id("pane-restriction").addEventListener("keydown", (event) => {
    const kind = RESTRICTIONS[Number(event.key) - 1];
    if (kind && !event.altKey && !event.ctrlKey) { event.preventDefault(); if (view) restrict(kind); }
  });
  id("note-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await saveNote();
  });
  async function saveNote() {
    const note = id("note").value.trim();
    if (!note || !account) return;
    await save(`/api/v1/accounts/${account}/notes`, { key: newKey(), note, attempt: shownAttempt || null }, () => { id("note").value = ""; keep(); if (view) fetchPerson(); });
  }
  id("finish-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const word = id("disposition").value;
    if (!word) { toast(t("choose"), true); id("disposition").focus(); return; }
    if (!id("reason-field").hidden && !id("reason").value) { toast(t("choose_reason"), true); id("reason").focus(); return; }
    await saveNote();
    const body = { disposition: word, ...(id("reason").value && !id("reason-field").hidden ? { reason: id("reason").value } : {}), ...(word === "callback" ? { callback_at: new Date(id("when").value).toISOString() } : {}) };
    await save(`${own}/disposition`, body, () => { localStorage.removeItem(DRAFT); id("ready").focus(); });
  });

  // --- tabs and keys -----------------------------------------------------------------------------------------------------------
  const TABS = ["promise", "callback", "restriction"];
  function tab(name, into = false) {
    for (const one of TABS) {
      const chosen = one === name;
      id(`tab-${one}`).setAttribute("aria-selected", String(chosen));
      id(`tab-${one}`).tabIndex = chosen ? 0 : -1;
      id(`pane-${one}`).hidden = !chosen;
    }
    if (into) id(`pane-${name}`).querySelector("input, button").focus();
  }
  for (const [index, name] of TABS.entries()) {
    id(`tab-${name}`).addEventListener("click", () => tab(name));
    id(`tab-${name}`).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(index + step + TABS.length) % TABS.length];
      tab(next); id(`tab-${next}`).focus();
    });
  }
  const KEYS = {
    r: () => id("ready").click(), h: () => id("hold").click(), m: () => id("mute").click(), v: () => id("verify")?.click(),
    p: () => tab("promise", true), c: () => tab("callback", true), x: () => tab("restriction", true), n: () => id("note").focus(), q: () => id("disposition").focus(), t: () => id("finish-form").requestSubmit(),
  };
  addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const done = KEYS[event.key.toLowerCase()];
    if (done) { event.preventDefault(); done(); }
  });

  // --- all of it ---------------------------------------------------------------------------------------------------------------
  stream("/desk/stream", {
    agent: (told) => {
      const before = me;
      me = told.up === false ? { ...me, ...told } : told;
      if (told.up !== false) {
        const talks = me.state === "talking" || me.state === "reserved" || me.state === "wrap_up";
        const attempt = talks ? me.attempt_id ?? "" : "";
        if (attempt && attempt !== shownAttempt) {
          shownAttempt = attempt; account = me.account_id ?? null; view = null;
          tab("promise");
          fetchPerson(); restore();
        } else if (talks && !view && me.state !== "reserved") {
          account = me.account_id ?? account; fetchPerson();
        } else if (!talks && shownAttempt) {
          shownAttempt = ""; account = null; view = null;
          id("person").replaceChildren(id("nobody").content.cloneNode(true));
          restore();
        }
        id("fields").disabled = !shownAttempt;
        if (me.campaign && me.campaign !== before.campaign) { drawWords(); fetchDay(); }
      }
      drawMe();
    },
  });
  restore();
})();
