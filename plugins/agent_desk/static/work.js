// What is done about it: promise, call-back, restriction, message, note, outcome. What is typed is kept until it is saved.
"use strict";
(() => {
  const { send, toast, money, set, make, rule } = window.Marcador;
  const { t, has, id, agent, own, date, moment, local, newKey, save, kept, keepDraft, now, api, asked, fetchPerson } = window.Desk;
  const RESTRICTIONS = ["do_not_call", "dispute", "attorney", "bankruptcy", "deceased", "cease_contact", "hardship", "wrong_number", "workplace"];
  const OF_PHONE = ["wrong_number", "workplace"];
  const TYPED = ["note", "amount", "first", "many", "every", "kind", "when", "disposition", "reason"];
  const whose = () => now.view?.person.name || now.view?.account.external_id || "–";
  const policy = () => now.words?.promises ?? { most_instalments: 36, first_within_days: 365, all_within_days: 3650, least_minor: 0, most_discount: 0 };

  // What we have changed ourselves is another version at once, and no news to us.
  const refresh = () => { now.version = null; fetchPerson(); };

  // --- what is half typed ----------------------------------------------------------------------------------------------------------------
  const keep = () => { if (now.attempt) keepDraft({ attempt: now.attempt, account: now.account, typed: Object.fromEntries(TYPED.map((name) => [name, id(name).value])) }); };
  function restore() {
    const { draft } = kept, typed = draft && draft.attempt === now.attempt ? draft.typed : {};
    const later = new Date(Date.now() + 7 * 86400000), tomorrow = new Date(Date.now() + 86400000);
    tomorrow.setMinutes(0, 0, 0);
    const empty = { note: "", amount: "", first: local(later).slice(0, 10), many: "1", every: "30", kind: "agreement", when: local(tomorrow).slice(0, 16), disposition: "", reason: "" };
    for (const name of TYPED) id(name).value = typed[name] ?? empty[name];
    for (const name of ["promise-said", "callback-said"]) { set(id(name), ""); id(name).classList.remove("wrong"); }
    for (const name of ["amount", "first", "many"]) id(name).removeAttribute("aria-invalid");
    needsReason();
  }
  // A note that was begun and not saved before the next person came is theirs whom it is about.
  function leave() {
    const { draft } = kept, note = draft?.typed.note?.trim();
    if (!draft || draft.attempt === now.attempt) return;
    keepDraft(null);
    if (note && draft.account) save(`/api/v1/accounts/${draft.account}/notes`, { key: newKey(), note, attempt: draft.attempt }, `${t("note")}\n${note}`);
  }
  id("work").addEventListener("input", keep);

  // --- outcome ---------------------------------------------------------------------------------------------------------------------------
  async function fetchWords() {
    if (!now.campaign) return;
    const answer = await send("GET", `/api/v1/campaigns/${encodeURIComponent(now.campaign)}/dispositions`, undefined, { quiet: true });
    if (!answer.ok) return;
    now.words = answer.data;
    const depth = new Map();
    id("disposition").replaceChildren(...now.words.dispositions.map((one) => {
      depth.set(one.name, one.under ? (depth.get(one.under) ?? 0) + 1 : 0);
      const label = one.label !== one.name ? one.label : has(`disposition.${one.name}`) ? t(`disposition.${one.name}`) : one.name;
      return make("option", { value: one.name }, "\u2003".repeat(depth.get(one.name)) + label);
    }));
    id("reason").replaceChildren(make("option", { value: "" }, "–"), ...Object.entries(now.words.reasons).map(([name, label]) => make("option", { value: name }, label || name)));
    id("kind-field").hidden = !(policy().most_discount > 0);
    id("many").max = policy().most_instalments;
    restore();
  }
  function needsReason() {
    const word = now.words?.dispositions.find((one) => one.name === id("disposition").value);
    id("reason-field").hidden = !word?.needs_reason;
  }
  const say = (word) => { id("disposition").value = word; needsReason(); keep(); };
  id("disposition").addEventListener("change", () => { needsReason(); if (id("disposition").value !== "callback") set(id("callback-said"), ""); });
  addEventListener("desk:word", (event) => say(event.detail));
  addEventListener("desk:not", (event) => { if (id("disposition").value === event.detail) say(""); });

  id("finish-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const word = id("disposition").value;
    if (!word) { toast(t("choose"), true); id("disposition").focus(); return; }
    if (!id("reason-field").hidden && !id("reason").value) { toast(t("choose_reason"), true); id("reason").focus(); return; }
    const label = id("disposition").selectedOptions[0].textContent.trim(), attempt = now.attempt;
    await saveNote();
    const body = { disposition: word, attempt, ...(id("reason").value && !id("reason-field").hidden ? { reason: id("reason").value } : {}), ...(word === "callback" ? { callback_at: new Date(id("when").value).toISOString() } : {}) };
    await save(`${own}/disposition`, body, `${t("outcome_of", whose())}\n${label}`, () => { keepDraft(null); id("ready").focus(); });
  });

  // --- promise ---------------------------------------------------------------------------------------------------------------------------
  function minor(text) {
    const plain = text.replace(/[\s$]/g, "").replace(/,(?=\d{3}(\D|$))/g, "").replace(",", ".");
    return /^\d+(\.\d{1,2})?$/.test(plain) ? Math.round(Number(plain) * 100) : NaN;
  }
  const manyOf = () => Math.max(1, Math.min(120, Math.round(Number(id("many").value)) || 1));
  function instalments() {
    const total = minor(id("amount").value), many = manyOf(), every = Number(id("every").value);
    const each = Math.floor(total / many), first = new Date(`${id("first").value}T12:00`);
    return Array.from({ length: many }, (_, index) => {
      const due = new Date(first);
      if (every === 30) { due.setDate(1); due.setMonth(due.getMonth() + index); due.setDate(Math.min(first.getDate(), new Date(due.getFullYear(), due.getMonth() + 1, 0).getDate())); } else due.setDate(due.getDate() + every * index);
      return { due_date: isNaN(due) ? "" : local(due).slice(0, 10), amount_minor: index === many - 1 ? total - each * (many - 1) : each };
    });
  }
  function promiseWrong() {
    const total = minor(id("amount").value), its = now.view?.account, owed = its?.balance_minor, rules = policy();
    const within = (days) => local(new Date(Date.now() + days * 86400000)).slice(0, 10), amount = (value) => money(value, its?.currency);
    if (!(total > 0)) return ["amount", t("amount_wrong")];
    if (owed != null && total > owed) return ["amount", t("amount_over", amount(owed))];
    if (manyOf() > rules.most_instalments) return ["many", t("many_over", rules.most_instalments)];
    if (!id("first").value || id("first").value < local(new Date()).slice(0, 10)) return ["first", t("date_wrong")];
    if (id("first").value > within(rules.first_within_days)) return ["first", t("first_over", date(within(rules.first_within_days)))];
    const parts = instalments(), least = owed == null ? rules.least_minor : Math.min(rules.least_minor, owed);
    if (parts.at(-1).due_date > within(rules.all_within_days)) return ["many", t("all_over", date(within(rules.all_within_days)))];
    if (parts.some((one) => one.amount_minor < Math.max(1, least))) return ["many", t("part_under", amount(Math.max(1, least)))];
    const lowest = owed == null ? 0 : Math.round(owed * (1 - rules.most_discount));
    if (id("kind").value === "settlement" && total < lowest) return ["amount", t("settlement_under", amount(lowest))];
    return null;
  }
  function promiseWords(strict = false) {
    const line = id("promise-said"), wrong = id("amount").value || strict ? promiseWrong() : null;
    for (const name of ["amount", "first", "many"]) id(name).setAttribute("aria-invalid", String(wrong?.[0] === name));
    line.classList.toggle("wrong", Boolean(wrong));
    const parts = !wrong && id("amount").value ? instalments() : [];
    const shown = parts.length > 4 ? [...parts.slice(0, 3), null, parts.at(-1)] : parts;
    const told = shown.map((one) => one ? `${date(one.due_date)} ${money(one.amount_minor, now.view?.account.currency)}` : "…").join(" · ");
    set(line, wrong ? wrong[1] : !parts.length ? "" : parts.length === 1 ? t("schedule_one", told) : t("schedule", parts.length, told));
    return wrong;
  }
  for (const name of ["amount", "first", "many", "every", "kind"]) id(name).addEventListener("input", () => promiseWords());
  id("pane-promise").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wrong = promiseWords(true);
    if (wrong) { id(wrong[0]).focus(); return; }
    const words = `${t("promise_of", whose())}\n${id("promise-said").textContent}`;
    const done = await save(api("/promises"), { key: newKey(), kind: id("kind").value, instalments: instalments(), attempt: now.attempt || null, agent }, words, () => { id("amount").value = ""; promiseWords(); say("promise"); refresh(); dispatchEvent(new Event("desk:day")); }, now.version);
    if (done) id("disposition").focus();
  });

  // --- call-back, restriction, note -------------------------------------------------------------------------------------------------------
  id("pane-callback").addEventListener("submit", (event) => {
    event.preventDefault();
    const at = new Date(id("when").value), line = id("callback-said");
    if (isNaN(at) || at < new Date()) { set(line, t("date_wrong")); line.classList.add("wrong"); id("when").focus(); return; }
    // It goes with what the call was: until it is finished, the lead is being called.
    line.classList.remove("wrong");
    say("callback");
    set(line, t("callback_at_finish", moment(at.toISOString())));
    id("finish").focus();
  });
  const restrict = (kind) => save(api("/restrictions"), OF_PHONE.includes(kind) ? { kind, scope: "phone", phone: now.view.phones[0].id } : { kind, scope: kind === "dispute" ? "account" : "person" }, `${t("restriction_of", whose())}\n${t(`restrict.${kind}`)}`, () => { refresh(); tab("promise"); id("disposition").focus(); });
  id("restrictions").append(...RESTRICTIONS.map((kind, index) => make("button", { class: "btn small", type: "button", "data-kind": kind, on: { click: () => { if (now.view) restrict(kind); } } }, make("kbd", {}, String(index + 1)), t(`restrict.${kind}`))));
  id("pane-restriction").addEventListener("keydown", (event) => {
    const kind = RESTRICTIONS[Number(event.key) - 1];
    if (kind && !event.altKey && !event.ctrlKey) { event.preventDefault(); if (now.view) restrict(kind); }
  });
  id("note-form").addEventListener("submit", async (event) => { event.preventDefault(); await saveNote(); });
  async function saveNote() {
    const note = id("note").value.trim();
    if (!note || !now.account) return;
    await save(api("/notes"), { key: newKey(), note, attempt: now.attempt || null }, `${t("note_of", whose())}\n${note}`, () => { id("note").value = ""; keep(); if (now.view) fetchPerson(); });
  }

  // --- a message by another channel --------------------------------------------------------------------------------------------------------
  let options = [];
  async function fetchMessages() {
    const box = id("templates"), whom = now.account;
    if (!now.view?.identified) { options = []; box.replaceChildren(); drawMessage(t("message_after")); return; }
    const answer = await send("GET", `${api("/messages")}?${asked()}`, undefined, { quiet: true });
    if (whom !== now.account) return;
    options = answer.ok ? answer.data : [];
    box.replaceChildren(...options.map((one, index) => make("option", { value: String(index) }, `${t(`channel.${one.channel}`)}: ${one.template.replaceAll("_", " ")}`)));
    const first = options.findIndex((one) => one.text && !one.refused);
    box.value = String(first < 0 ? 0 : first);
    drawMessage(answer.ok ? (options.length ? "" : t("no_messages")) : answer.data?.detail);
  }
  function drawMessage(why = "") {
    const one = options[Number(id("templates").value)];
    id("templates").disabled = !one;
    set(id("message-text"), [one?.text, one?.letters?.length ? t("with_letters", one.letters.join(", ")) : ""].filter(Boolean).join("\n\n"));
    id("message-text").hidden = !one?.text;
    const reason = one && (one.rule ? rule(one.rule, one.refused) : one.refused);
    set(id("message-said"), why || (!one ? "" : !one.refused ? t("sent_at_once") : !one.text || !one.allowed_from ? t("cannot_be_sent", reason) : t("sent_from", moment(one.allowed_from), reason)));
    id("message-said").classList.toggle("wrong", Boolean(one?.refused && !(one.text && one.allowed_from)));
    id("send-message").disabled = !one?.text || Boolean(one.refused && !one.allowed_from);
  }
  id("templates").addEventListener("change", () => drawMessage());
  id("pane-message").addEventListener("submit", async (event) => {
    event.preventDefault();
    const one = options[Number(id("templates").value)];
    if (!one || id("send-message").disabled) return;
    await save(api("/messages"), { campaign: now.campaign, template: one.template, language: one.language, key: newKey() }, `${t("message_of", whose())}\n${one.text}`, () => { fetchPerson(); tab("promise"); id("note").focus(); });
  });

  // --- tabs ----------------------------------------------------------------------------------------------------------------------------------
  const TABS = ["promise", "callback", "restriction", "message"];
  function tab(name, into = false) {
    for (const one of TABS) {
      const chosen = one === name;
      id(`tab-${one}`).setAttribute("aria-selected", String(chosen));
      id(`tab-${one}`).tabIndex = chosen ? 0 : -1;
      id(`pane-${one}`).hidden = !chosen;
    }
    if (name === "message") fetchMessages();
    if (into) id(`pane-${name}`).querySelector("input, select, button")?.focus();
  }
  for (const [index, name] of TABS.entries()) {
    id(`tab-${name}`).addEventListener("click", () => tab(name));
    id(`tab-${name}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = TABS[(index + by + TABS.length) % TABS.length];
      tab(next); id(`tab-${next}`).focus();
    });
  }
  addEventListener("desk:person", () => { if (id("amount").value) promiseWords(); });
  Object.assign(window.Desk, { restore, leave, fetchWords, tab });
})();
