// The person: shown before they are dialed, then asked who they are, then all that is known of them, and what to say and do.
"use strict";
(() => {
  const { send, toast, clock, whole, money, make, set, rule, lang } = window.Marcador;
  const { t, has, id, own, date, moment, now } = window.Desk;
  const word = (name) => { const key = ["disposition", "kind", "restrict", "outcome", "message"].map((table) => `${table}.${name}`).find(has); return key ? t(key) : rule(name); };
  const fact = (label, value) => value == null || value === "" ? null : make("div", {}, make("dt", {}, label), make("dd", {}, String(value)));
  const figure = (label, value, tone) => make("div", { class: "figure" }, make("dt", {}, label), make("dd", { class: tone ?? "" }, value));
  const api = (path) => `/api/v1/accounts/${now.account}${path}`;
  const asked = () => `campaign=${encodeURIComponent(now.campaign)}&language=${lang}`;
  let step = null, script = null, phrase = 0;

  async function fetchPerson() {
    if (!now.account) {
      const found = await send("GET", `${own}/account`, undefined, { quiet: true });
      now.account ??= found.ok ? found.data.account_id : null;
      if (!now.account) return;
    }
    const whom = now.account, said = now.campaign ? send("GET", `${api("/script")}?${asked()}`, undefined, { quiet: true }) : null;
    const answer = await send("GET", api(""), undefined, { quiet: true });
    if (whom !== now.account) return;
    if (!answer.ok) { if (!now.view) drawLost(answer.data?.detail); return; }
    now.view = answer.data;
    now.version = answer.version;
    draw();
    performance.mark("person", { detail: now.attempt });
    const found = await said;
    if (found?.ok && whom === now.account) { script = found.data; draw(); }
    if (now.view?.identified && now.campaign) fetchStep(whom);
    dispatchEvent(new Event("desk:person"));
  }
  async function fetchStep(whom) {
    const answer = await send("GET", `${api("/next_step")}?campaign=${encodeURIComponent(now.campaign)}`, undefined, { quiet: true });
    if (answer.ok && whom === now.account) { step = answer.data; draw(); }
  }
  function clear() { step = script = null; phrase = 0; }

  // --- pieces -------------------------------------------------------------------------------------------------------------------------
  function heading(found) {
    const name = found.person.name || `${t("account")} ${found.account.external_id}`;
    return make("div", { class: "who" }, make("h2", { id: "person-name" }, name), make("span", { class: "muted" }, `${t("account")} ${found.account.external_id}`),
      ...found.restrictions.map((one) => make("span", { class: "badge bad" }, word(one.kind))));
  }
  function openingWords(one) {
    const why = rule(one.rule, one.reason);
    const [near] = Object.values(one.counts ?? {}).sort((a, b) => a[1] - a[0] - b[1] + b[0]); // the cap that is reached first
    if (one.allowed) return [t("allowed"), near && t("of_most", ...near)].filter(Boolean).join(" · ");
    return one.from_utc ? t("allowed_from", moment(one.from_utc), why) : t("never_allowed", why);
  }
  function stepBox() {
    const box = make("div", { class: "part stack" }, make("h3", {}, t("next_step")));
    if (!step) { box.append(make("p", { class: "say", id: "next" }, make("span", { class: "loading" }))); return box; }
    const its = step.step;
    if (!its) { box.append(make("p", { class: "say muted", id: "next" }, t("no_step"))); return box; }
    const how = [its.channel ? t(`channel.${its.channel}`) : t("in_this_talk"), its.at_utc ? moment(its.at_utc) : t("now")].join(" · ");
    box.append(make("div", { class: "say", id: "next" }, make("div", { class: "row" }, make("strong", {}, t(`step.${its.action}`)), make("span", { class: "badge accent plain" }, how)), make("p", {}, its.why[lang] ?? its.why.es)));
    return box;
  }
  function scriptBox() {
    if (!script?.phrases.length) return null;
    const shown = Math.min(phrase, script.phrases.length - 1);
    const text = make("p", { class: "say", id: "phrase", role: "tabpanel", "aria-labelledby": `phrase-${shown}` }, script.phrases[shown].text);
    const choose = (index) => { phrase = index; draw(); id(`phrase-${index}`).focus(); };
    const many = script.phrases.length;
    return make("div", { class: "part stack" }, make("div", { class: "row" }, make("h3", {}, t("script"), " ", make("kbd", {}, "Alt G")),
      make("div", { class: "chips", role: "tablist", "aria-label": t("script") }, ...script.phrases.map((one, index) => make("button", { class: "btn small", type: "button", role: "tab", id: `phrase-${index}`, "aria-controls": "phrase", "aria-selected": String(index === shown), tabindex: index === shown ? "0" : "-1", on: {
        click: () => choose(index), keydown: (event) => { const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]; if (by) { event.preventDefault(); choose((index + by + many) % many); } },
      } }, one.title)))), text);
  }
  async function openDocument(one) {
    const answer = await send("POST", api(`/documents/${one.id}/link`), {});
    if (answer.ok) window.open(answer.data.url, "_blank", "noopener");
  }
  const documentsBox = (found) => !found.documents.length ? null : make("div", { class: "part row" }, make("h3", {}, t("documents")),
    ...found.documents.map((one) => make("button", { class: "btn small", type: "button", on: { click: () => openDocument(one) } }, one.title)));
  const CHANNELS = { voice: "☎", sms: "✉", whatsapp: "✉", email: "@" };
  function historyBox(found) {
    const rows = found.timeline.slice(0, 100).map((one) => make("li", { class: "small" }, make("time", { class: "muted", datetime: one.at_utc }, moment(one.at_utc)),
      make("span", { class: "strong" }, has(`what.${one.what}`) ? t(`what.${one.what}`) : one.what),
      make("span", { class: "told" }, [one.channel && one.channel !== "voice" ? `${CHANNELS[one.channel] ?? ""} ${has(`channel.${one.channel}`) ? t(`channel.${one.channel}`) : one.channel}` : "", one.result && word(one.result), one.text, one.seconds ? clock(one.seconds) : "", one.by?.replace(/^(user|api|plugin):/, "")].filter(Boolean).join(" · ")),
      make("span", { class: "num" }, one.amount_minor == null ? "" : money(one.amount_minor, found.account.currency))));
    return make("div", { class: "part past" }, make("h3", { id: "history-title" }, t("history")), rows.length
      ? make("ol", { class: "timeline", tabindex: "0", "aria-labelledby": "history-title" }, ...rows) : make("p", { class: "muted" }, t("no_history")));
  }
  function figures(found) {
    const its = found.account, late = its.days_past_due;
    return make("dl", { class: "figures" }, figure(t("balance"), money(its.balance_minor, its.currency)), figure(t("past_due"), late == null ? "–" : whole(late), late > 90 ? "bad" : late > 30 ? "warn" : ""),
      figure(t("due"), its.due_date ? date(its.due_date) : "–"), figure(t("product"), its.product || "–"));
  }
  function rest(found) {
    const others = found.other_accounts.map((one) => `${one.external_id} ${money(one.balance_minor, one.currency)}`).join(" · ");
    return [make("dl", { class: "facts part" }, fact(t("creditor"), found.account.creditor), ...found.attributes.map((one) => fact(one.name, one.value))),
      others ? make("p", { class: "part small muted" }, t("other_accounts", others)) : null, documentsBox(found), historyBox(found)];
  }

  // --- the states of the middle --------------------------------------------------------------------------------------------------------
  function drawNobody(ringing) {
    const box = id("person"), mark = `nobody ${Boolean(ringing)}`;
    if (box.dataset.mark === mark && !id("person-name")) return;
    box.dataset.mark = mark;
    const [title, why] = ringing ? [t("ringing"), t("ringing_why")] : [t("nobody"), t("nobody_why")];
    box.replaceChildren(make("div", { class: "empty", role: "status" }, make("strong", {}, title), make("p", {}, why)));
  }
  function drawLost(why) { id("person").replaceChildren(make("div", { class: "empty" }, make("strong", {}, t("not_loaded")), make("p", {}, why || t("not_loaded_why")), make("button", { class: "btn", type: "button", on: { click: fetchPerson } }, t("again")))); }
  function drawIdentity(found) {
    const name = found.person.name || `${t("account")} ${found.account.external_id}`;
    const third = make("p", { class: "say", id: "third", hidden: true }, script?.third_party ? `«${script.third_party}»` : t("third_script", name));
    const yes = make("button", { class: "btn primary", type: "button", id: "verify", on: { click: verify } }, t("is_person"), " ", make("kbd", {}, "Alt V"));
    const no = make("button", { class: "btn", type: "button", id: "is-third", on: { click: () => { third.hidden = false; dispatchEvent(new CustomEvent("desk:word", { detail: "third_party" })); } } }, t("is_third"), " ", make("kbd", {}, "Alt O"));
    return [heading(found), make("div", { class: "part" }, make("p", { class: "say", id: "greeting" }, script?.greeting ? `«${script.greeting}»` : t("greeting", name))),
      make("div", { class: "verify" }, make("h3", {}, t("verify")), make("p", {}, t("verify_why")),
        make("dl", { class: "facts" }, ...found.attributes.map((one) => fact(one.name, one.value))), make("div", { class: "row" }, yes, no), third)];
  }
  function drawPreview(found) {
    const { shown } = now.me, dialing = shown.until == null, voice = step?.openings.find((one) => one.channel === "voice");
    const skips = ["not_now", "just_called", "wrong_hour", "needs_supervisor", "other"];
    const bar = make("div", { class: "preview" }, make("div", {}, make("strong", {}, dialing ? t("being_dialed") : t("preview")), make("p", { class: "small muted", id: "gate" }, voice ? openingWords(voice) : "")),
      dialing ? null : make("span", { class: "left", id: "preview-left", role: "timer" }, ""),
      dialing ? null : make("button", { class: "btn primary", type: "button", id: "dial", on: { click: () => act("dial", "preview/accept") } }, t("dial"), " ", make("kbd", {}, "Alt D")),
      dialing ? null : make("select", { id: "skip-reason", "aria-label": t("skip_reason") }, ...skips.map((one) => make("option", { value: one }, t(`skipped.${one}`)))),
      dialing ? null : make("button", { class: "btn", type: "button", id: "skip", on: { click: () => act("skip", "preview/skip", { reason: id("skip-reason").value }) } }, t("skip"), " ", make("kbd", {}, "Alt S")));
    return [bar, heading(found), ...(found.identified ? [figures(found), stepBox(), ...rest(found)] : [])];
  }
  async function act(name, path, body) {
    id(name).classList.add("busy");
    await send("POST", `${own}/${path}`, body ?? {});
    id(name)?.classList.remove("busy");
  }
  let marks = "";
  function draw() {
    const found = now.view;
    if (!found) return;
    const preview = Boolean(now.me.shown && !now.attempt);
    const mark = JSON.stringify([found, step, script, phrase, preview && now.me.shown]);
    if (mark === marks && id("person-name")) return; // what stays the same is not drawn again: focus and selection stay
    marks = mark;
    const held = document.activeElement?.id, reason = id("skip-reason")?.value;
    const parts = preview ? drawPreview(found) : found.identified ? [heading(found), figures(found), stepBox(), scriptBox(), ...rest(found)] : drawIdentity(found);
    id("person").replaceChildren(...parts.filter(Boolean));
    if (reason && id("skip-reason")) id("skip-reason").value = reason;
    if (held && document.activeElement?.id !== held && id("person").contains(id(held))) id(held).focus();
    tick();
  }
  function tick() {
    const left = id("preview-left"), { shown } = now.me;
    if (left && shown?.until != null) set(left, clock(shown.until - Date.now() / 1000) + (shown.then === "dial" ? ` ${t("then_dial")}` : ` ${t("then_skip")}`));
  }
  setInterval(tick, 250);

  async function verify() {
    const answer = await send("POST", api("/identity"), { attempt: now.attempt || null });
    if (answer.ok) { dispatchEvent(new CustomEvent("desk:not", { detail: "third_party" })); await fetchPerson(); id("amount").focus(); }
  }
  addEventListener("desk:saved", () => { if (now.view) fetchPerson(); });
  Object.assign(window.Desk, { fetchPerson, drawNobody, drawPerson: draw, clearPerson: clear, api, word, openingWords, asked, toast });
})();
