// The agent's own state: what the stream tells, the buttons of the call, the day, notes of supervisors, and the keys.
"use strict";
(() => {
  const { send, stream, toast, clock, whole, set, make } = window.Marcador;
  const { t, has, id, agent, own, moment, now, opened, fetchPerson, drawNobody, drawPerson, clearPerson, restore, leave, fetchWords, tab } = window.Desk;
  const PAUSES = ["lunch", "bathroom", "training", "coaching", "chats"];
  const SURE_MS = 4000;

  async function act(button, url, body) {
    button.classList.add("busy");
    const answer = await send("POST", url, body ?? {});
    button.classList.remove("busy");
    return answer.ok;
  }
  const press = (name, path, body) => id(name).addEventListener("click", () => act(id(name), `${own}/${typeof path === "function" ? path() : path}`, body?.()));
  press("ready", "ready"); press("login", "login"); press("end-shift", "logout"); press("undo-after", "ready");
  press("pause", "pause", () => ({ reason: id("pause-reason").value }));
  press("hold", () => now.me.talk === "held" ? "resume" : "hold"); press("mute", () => now.me.muted ? "unmute" : "mute");
  press("join", "join"); press("dismiss", "dismiss"); press("more-time", "wrap_up", () => ({ seconds: 30 + Math.max(0, left()) }));
  press("record", "recording", () => ({ switch: now.me.recording === "pause" ? "on" : "pause" }));
  id("hang-up").addEventListener("click", () => act(id("hang-up"), `/api/v1/calls/${now.me.attempt_id}/hangup`));
  id("next-number").addEventListener("click", () => act(id("next-number"), `${own}/next_number`, id("disposition").value ? { disposition: id("disposition").value } : {}));
  for (const name of ["consult", "transfer"]) id(name).addEventListener("click", async () => {
    const to = id("to").value.trim();
    if (!to && name === "consult") { toast(t("consult_who"), true); id("to").focus(); return; }
    const first = await send("POST", `${own}/${name}`, to ? { to_agent: to } : {}, { quiet: Boolean(to) });
    if (!first.ok && to) await send("POST", `${own}/${name}`, { to_extension: to });
  });
  // Whoever does not want to be recorded is not, and what there is is deleted: the second press means it.
  let sureUntil = 0;
  id("no-record").addEventListener("click", async () => {
    if (Date.now() < sureUntil) { sureUntil = 0; await act(id("no-record"), `${own}/recording`, { switch: "discard" }); drawRecord(); return; }
    sureUntil = Date.now() + SURE_MS;
    drawRecord();
    setTimeout(drawRecord, SURE_MS + 50);
  });
  id("pause-reason").append(...PAUSES.map((name) => make("option", { value: name }, t(`reason.${name}`))));

  const left = () => now.me.wrap_up_s == null ? 0 : now.me.since + now.me.wrap_up_s - Date.now() / 1000;
  function tick() {
    const { me } = now;
    if (!me.state) return;
    set(id("clock"), clock(Date.now() / 1000 - me.since));
    const wrapping = me.state === "wrap_up" && me.wrap_up_s != null;
    id("wrap").hidden = id("more-time").hidden = !wrapping;
    if (wrapping) { set(id("wrap"), t("wrap", clock(left()))); id("wrap").className = `badge ${left() < 10 ? "bad" : "warn"}`; }
  }
  setInterval(tick, 250);

  const reasonWords = (reason) => has(`reason.${reason}`) ? t(`reason.${reason}`) : reason;
  function drawRecord() {
    const { me } = now, on = me.state === "talking" && Boolean(me.recording), sure = Date.now() < sureUntil;
    id("record").hidden = id("no-record").hidden = !on;
    id("record").setAttribute("aria-pressed", String(me.recording === "pause"));
    set(id("no-record"), sure ? t("record_sure") : t("record_refused"));
    id("no-record").classList.toggle("danger", sure);
  }
  function drawMe() {
    const { me } = now, up = me.up !== false, phone = id("phone");
    phone.className = `badge ${!up ? "bad" : me.leg_up ? "ok" : "warn"}`;
    set(phone, !up ? t("engine_away") : me.leg_up ? t("phone_up") : t("phone_down"));
    if (!up) return;
    const talking = me.state === "talking", out = me.state === "logged_out", busy = talking || me.state === "reserved";
    const shown = Boolean(me.shown) && !talking && me.state !== "wrap_up";
    id("now").dataset.state = shown ? "shown" : me.state;
    set(id("state"), shown ? t("state.shown") : t(`state.${me.state}`));
    set(id("why"), shown ? me.shown.campaign : me.state === "ready" ? t("waiting_long") : me.state === "paused" ? reasonWords(me.reason) : me.campaign ?? "");
    set(id("talk"), [me.talk && me.talk !== "together" ? t(`talk.${me.talk}`) : "", me.third].filter(Boolean).join(" · "));
    set(id("supervised"), me.supervised ? t(`supervised.${me.supervised}`) : "");
    id("supervised").hidden = !me.supervised;
    id("login").hidden = !out; id("ready").hidden = out; id("end-shift").hidden = out;
    id("ready").disabled = me.state === "ready" || busy;
    id("pause").disabled = id("pause-reason").disabled = out;
    set(id("pause"), busy ? t("pause_after") : t("pause"));
    id("after").hidden = !me.after;
    if (me.after) set(id("after-what"), me.after === "logout" ? t("after_logout") : t("after_pause", reasonWords(me.after_reason)));
    for (const name of ["hold", "mute", "to", "consult", "transfer", "hang-up"]) id(name).disabled = !talking;
    for (const name of ["join", "dismiss"]) id(name).disabled = !talking || !me.third;
    id("next-number").disabled = !talking && me.state !== "wrap_up";
    id("hold").setAttribute("aria-pressed", String(me.talk === "held"));
    id("mute").setAttribute("aria-pressed", String(Boolean(me.muted)));
    drawRecord();
    drawDay();
    dispatchEvent(new Event("desk:me"));
    tick();
  }

  // --- my day ----------------------------------------------------------------------------------------------------------------------------
  let day = null;
  function drawDay() {
    const mine = day?.agents.find((one) => one.agent === agent), talks = mine?.talks ?? now.me.conversations ?? 0, goal = day?.targets.promises;
    const rows = [
      [t("talks"), whole(talks), ""], [t("my_promises"), whole(mine?.promises ?? 0), ""],
      [t("per_talk"), mine?.talk_s ? clock(mine.talk_s / mine.talks) : "–", ""], [t("team"), whole(day?.promised.count ?? 0), goal ? t("goal", whole(goal)) : ""],
    ];
    const box = id("day");
    if (!box.children.length) box.append(...rows.map(() => make("div", { class: "figure" }, make("dt"), make("dd"), make("dd", { class: "under" }))));
    rows.forEach(([label, value, under], index) => { const [dt, dd, small] = box.children[index].children; set(dt, label); set(dd, value); set(small, under); });
    id("goal").hidden = !goal;
    if (goal) { const share = Math.min(1, day.promised.count / goal); id("goal").value = share; id("goal").textContent = `${Math.round(100 * share)} %`; }
  }
  async function fetchDay() {
    if (!now.campaign) return;
    const answer = await send("GET", `/api/v1/campaigns/${encodeURIComponent(now.campaign)}/day`, undefined, { quiet: true });
    if (answer.ok) { day = answer.data; drawDay(); }
  }
  setInterval(fetchDay, 30000);
  addEventListener("desk:day", fetchDay);

  // --- notes of supervisors ----------------------------------------------------------------------------------------------------------------
  let noted = null;
  async function fetchNotes() {
    const answer = await send("GET", `${own}/notes`, undefined, { quiet: true });
    if (!answer.ok) return;
    const fresh = answer.data.filter((one) => !one.read).slice(0, 3);
    id("notes").replaceChildren(...fresh.map((one) => make("div", { class: "alert info" }, make("strong", {}, one.author.replace(/^user:/, "")), make("span", { class: "grow pre" }, one.note), make("time", { class: "small muted nowrap", datetime: one.at_utc }, moment(one.at_utc)),
      make("button", { class: "btn small", type: "button", on: { click: async () => { if ((await send("POST", `${own}/notes/${one.id}/read`, {})).ok) fetchNotes(); } } }, t("note_read")))));
  }

  // --- keys ------------------------------------------------------------------------------------------------------------------------------------
  const click = (name) => () => { const found = id(name); if (found && !found.disabled && !found.hidden) found.click(); };
  const KEYS = {
    r: click("ready"), h: click("hold"), m: click("mute"), v: click("verify"), o: click("is-third"), d: click("dial"), s: click("skip"), k: click("hang-up"),
    p: () => tab("promise", true), c: () => tab("callback", true), x: () => tab("restriction", true), e: () => tab("message", true),
    i: window.Desk.inboxKeys.i, n: () => id("note").focus(), q: () => id("disposition").focus(), t: () => id("finish-form").requestSubmit(), g: () => document.querySelector(".chips [aria-selected=true]")?.focus(),
  };
  addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const key = event.key.toLowerCase(), chat = id("inbox").hidden ? null : window.Desk.inboxKeys[key], done = chat ?? KEYS[key];
    if (done) { event.preventDefault(); if (chat || !id("fields").disabled || "rdshmvoki".includes(key)) done(); }
  });

  // --- all of it -----------------------------------------------------------------------------------------------------------------------------------
  function follow() {
    const { me } = now, talks = ["talking", "reserved", "wrap_up"].includes(me.state), attempt = talks ? me.attempt_id ?? "" : "";
    const account = attempt ? me.account_id ?? null : talks ? null : me.shown?.account ?? null;
    const campaign = (talks ? me.campaign : me.shown?.campaign) ?? me.campaign ?? now.campaign;
    const changed = attempt !== now.attempt || (!attempt && account !== now.account);
    if (campaign && campaign !== now.campaign) { now.campaign = campaign; fetchWords(); fetchDay(); }
    if (changed) {
      Object.assign(now, { attempt, account, view: null });
      clearPerson(); leave(); restore(); tab("promise");
      if (attempt || account) dispatchEvent(new Event("desk:call"));
      if (attempt || account) fetchPerson(); else drawNobody(me.state === "reserved");
    } else if (attempt && !now.view && me.state !== "reserved") {
      now.account = me.account_id ?? now.account;
      fetchPerson();
    } else if (!attempt && !account) drawNobody(me.state === "reserved");
    else drawPerson();
    id("fields").disabled = !attempt;
  }
  opened.then(() => stream("/desk/stream", {
    agent: (told) => {
      now.me = told.up === false ? { ...now.me, ...told } : told;
      if (told.up !== false) {
        if (told.noted !== noted) { noted = told.noted; fetchNotes(); }
        follow();
      }
      drawMe();
    },
    inbox: (told) => dispatchEvent(new CustomEvent("desk:inbox", { detail: told })),
  }));
  restore();
})();
