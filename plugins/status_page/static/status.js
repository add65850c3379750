// The status page: campaigns with what they do and what to do about them, agents with what they do and since when.
"use strict";
(() => {
  const { send, ask, clock, whole, share, money, set, make, rule: ruleWords, lang } = window.Marcador;
  const { dial, works, noteForm, behind, wire, mode, told: command } = window.Steer;
  const { now, said, t, state, reason, follow, totals, figures, alerts, system, states, meter, KIND, TONE } = window.Board;
  const id = (name) => document.getElementById(name);
  const page = id("main");
  const control = page.dataset.control === "yes";
  const cards = new Map(), rows = new Map(), days = new Map();
  let floor = new Map();

  const time = (iso) => new Date(iso).toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit" });
  const button = (label, act, kind = "") => make("button", { class: `btn small ${kind}`, type: "button", on: { click: act } }, label);

  // --- campaigns -----------------------------------------------------------------------------------------------------------
  function card(one) {
    const parts = {
      badge: make("span", { class: "badge" }), why: make("span", { class: "muted truncate grow" }), actions: make("span", { class: "push" }),
      figures: make("dl", { class: "figures" }), meter: make("div", { class: "meter", role: "img" }, make("i"), make("b")),
      abandoned: make("span", { class: "strong" }), ceiling: make("span", { class: "muted small" }),
      windows: make("ul", { class: "windows small" }), mode: make("span", { class: "strong" }), bold: make("span", { class: "muted small" }),
      lost: make("span", { class: "strong" }), interval: make("span", { class: "muted small" }), passed: make("span", { class: "strong" }), among: make("span", { class: "muted small" }),
      words: make("p", { class: "words" }), money: make("dl", { class: "figures money" }),
      chart: make("div", { class: "chart" }, make("span", { class: "loading" })), reasons: make("ul", { class: "reasons" }), left: make("p", { class: "muted small" }),
    };
    const under = (label, value, note) => make("div", { class: "split" }, make("h3", {}, label), make("span", {}, value, " ", note));
    parts.box = make("article", { class: "card campaign", "aria-label": one.id },
      make("header", {}, make("h2", {}, one.id), parts.badge, parts.why, parts.actions),
      make("div", { class: "body" },
        parts.figures,
        make("div", { class: "pair" },
          make("div", { class: "stack" }, under(t("abandonment"), parts.abandoned, parts.ceiling), parts.meter, parts.windows),
          make("div", { class: "stack" }, under(t("pacing"), parts.mode, parts.bold), parts.words, under(t("lost"), parts.lost, parts.interval), under(t("passed"), parts.passed, parts.among))),
        parts.money,
        parts.more = make("div", { class: "pair", hidden: cards.size >= 2 || one.state !== "running" },
          make("div", { class: "stack" }, make("div", { class: "split" }, make("h3", {}, t("total")), make("span", { class: "swatches small muted" }, make("span", {}, t("attempts")), make("span", { class: "second" }, t("live_answers")), make("span", { class: "third" }, t("week_ago")))), parts.chart),
          make("div", { class: "stack" }, make("h3", {}, t("left")), parts.left, parts.reasons))));
    const fold = make("button", { class: "btn small ghost", type: "button", "aria-expanded": String(!parts.more.hidden), on: { click: () => {
      parts.more.hidden = !parts.more.hidden;
      fold.setAttribute("aria-expanded", String(!parts.more.hidden));
      if (days.has(one.id)) drawChart(parts, days.get(one.id));
    } } }, t("detail"));
    parts.actions.append(fold);
    if (control) {
      const act = (verb) => (event) => command(event.currentTarget, `/api/v1/campaigns/${encodeURIComponent(one.id)}/${verb}`);
      parts.start = button(t("start"), act("start"), "primary");
      parts.pause = button(t("pause"), act("pause"));
      parts.stop = button(t("stop"), async (event) => { const pressed = { currentTarget: event.currentTarget }; if (await ask(t("stop_sure", one.id), { yes: t("stop"), danger: true })) act("stop")(pressed); }, "danger");
      parts.dial = button(t("dial"), () => dial(one.id));
      parts.actions.append(parts.dial, parts.start, parts.pause, parts.stop);
    }
    cards.set(one.id, parts);
    id("campaigns").append(parts.box);
    fetchDay(one.id);
    return parts;
  }

  function paceWords(one) {
    const told = one.decision;
    if (!told) return one.last_decision || one.reason || "–";
    const bound = (said[`bound.${told.binding}`] ?? told.binding).replace("{0}", share(told.risk, 2)).replace("{1}", share(told.alpha, 2));
    return `${t("seen", told.idle, told.talking, told.wrapping, told.ringing)}. ${t("place", told.place)}: ${bound}${told.reason ? ` (${told.reason})` : ""}.`;
  }

  function drawCampaign(one) {
    const parts = cards.get(one.id) ?? card(one);
    parts.badge.className = `badge ${{ running: "ok", paused: "warn", finished: "info" }[one.state] ?? ""}`;
    set(parts.badge, said[`campaign_state.${one.state}`] ?? one.state);
    set(parts.why, one.reason);
    parts.why.title = one.reason;
    figures(parts.figures, [
      ["dialing", t("dialing"), whole(one.dialing)], ["listening", t("listening"), whole(one.listening)],
      ["waiting", t("waiting"), whole(one.waiting), "", one.waiting ? "warn" : ""], ["talking", t("talking"), whole(one.talking)],
      ["attempts", t("attempts"), whole(one.attempts)], ["live", t("live_answers"), whole(one.live_answers)],
      ["rate", t("contact_rate"), share(one.attempts ? one.live_answers / one.attempts : null)],
    ]);
    const ratio = meter(parts.meter, one);
    set(parts.abandoned, one.ledger_live ? share(ratio, 2) : "–");
    set(parts.ceiling, t("of_ceiling", share(one.abandonment_ceiling, 1), whole(one.ledger_abandoned), whole(one.ledger_live)));
    parts.meter.setAttribute("aria-label", `${t("abandonment")} ${parts.abandoned.textContent}, ${parts.ceiling.textContent}`);
    set(parts.lost, one.people_lost == null ? "–" : share(one.people_lost));
    set(parts.interval, one.people_lost == null ? t("unknown_yet") : t("interval", share(one.people_lost_low), share(one.people_lost_high)));
    set(parts.passed, one.machines_passed == null ? "–" : share(one.machines_passed));
    set(parts.among, one.machines_passed == null ? t("unknown_yet") : t("interval", share(one.machines_passed_low), share(one.machines_passed_high)));
    set(parts.mode, mode(one.pacing) + (one.pacing === "ratio" ? ` ${one.ratio}` : ""));
    set(parts.bold, [one.ceiling_share < 1 && t("of_the_ceiling", share(one.ceiling_share, 0)), one.steered && t("steered")].filter(Boolean).join(" · "));
    set(parts.words, paceWords(one));
    if (control) {
      parts.start.hidden = one.state === "running" || one.state === "finished";
      parts.pause.hidden = one.state !== "running";
      parts.stop.hidden = one.state === "stopped" || one.state === "finished";
      parts.dial.hidden = one.pacing === "agentless";
    }
  }

  // --- the day: asked for now and then, not streamed -----------------------------------------------------------------------
  async function fetchDay(name) {
    const answer = await send("GET", `/api/v1/campaigns/${encodeURIComponent(name)}/day?agents=false`, undefined, { quiet: true });
    if (answer.ok && cards.has(name)) { days.set(name, answer.data); drawDay(name, answer.data); now.late = behind(days); alerts(id("alerts"), 4); }
  }

  function drawDay(name, day) {
    const parts = cards.get(name);
    const against = (goal, text) => goal == null ? text : `${t("goal", goal)} · ${text}`;
    const cents = (sum) => money(sum.amount_minor, sum.currency || day.recovered.currency);
    figures(parts.money, [
      ["promises", t("promises_today"), whole(day.promised.count), against(day.targets.promises == null ? null : whole(day.targets.promises), t("last_week", whole(day.promised_last_week.count)))],
      ["promised", t("promised"), cents(day.promised), against(day.targets.promised == null ? null : money(day.targets.promised, day.promised.currency), t("last_week", cents(day.promised_last_week)))],
      ["recovered", t("recovered"), cents(day.recovered), against(day.targets.recovered == null ? null : money(day.targets.recovered, day.recovered.currency), t("last_week", cents(day.recovered_last_week)))],
      ["ends", t("list_ends"), day.list_ends_utc ? time(day.list_ends_utc) : "–", day.list_ends_utc ? new Date(day.list_ends_utc).toLocaleDateString(lang, { weekday: "short", day: "numeric", month: "short" }) : t("list_ends_unknown")],
    ]);
    parts.windows.replaceChildren(...day.abandonment.map((window) => {
      const ratio = window.live ? window.abandoned / window.live : null, over = window.ceiling != null && ratio > window.ceiling;
      return make("li", {}, make("span", { class: "muted" }, said[`window.${window.name}`] ?? window.name), make("span", { class: `strong ${over ? "bad" : ""}` }, share(ratio, 2)), make("span", { class: "muted num" }, `${whole(window.abandoned)} / ${whole(window.live)}`));
    }));
    const held = Object.entries(day.held).sort((a, b) => b[1] - a[1]);
    const blocked = held.reduce((total, [, count]) => total + count, 0);
    set(parts.left, `${whole(day.dialable)} · ${t("left_now", whole(Math.max(0, day.dialable - blocked)))}`);
    parts.reasons.replaceChildren(...(held.length ? held.slice(0, 6).map(([rule, count]) => {
      const bar = make("div", { class: "meter" }, make("i"));
      bar.firstElementChild.style.width = `${100 * count / Math.max(1, day.dialable)}%`;
      return make("li", { class: "small" }, make("span", { class: "truncate", title: rule }, said[`held.${rule}`] ?? ruleWords(rule)), bar, make("span", { class: "num" }, whole(count)));
    }) : [make("li", { class: "muted small" }, t("held_none"))]));
    drawChart(parts, day);
  }

  function drawChart(parts, day) {
    const hour = 3600, week = 7 * 24 * hour;
    const at = (one) => Date.parse(one.at_utc) / 1000;
    const before = new Map(day.last_week.map((one) => [at(one) + week, one.attempts]));
    const today = new Map(day.hours.map((one) => [at(one), one]));
    const all = [...before.keys(), ...today.keys()];
    const middle = Math.floor(Date.now() / 1000 / hour) * hour;
    const first = Math.min(middle - 5 * hour, ...all), last = Math.max(middle, ...all);
    const xs = [];
    for (let x = first; x <= last; x += hour) xs.push(x);
    const data = [xs, xs.map((x) => before.get(x) ?? null), xs.map((x) => today.get(x)?.attempts ?? null), xs.map((x) => today.get(x)?.live_answers ?? null)];
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(name).trim();
    const width = Math.max(200, parts.chart.clientWidth);
    if (parts.plot && parts.shape === `${width} ${xs.length} ${colour("--text")}`) { parts.plot.setData(data); return; }
    parts.plot?.destroy();
    parts.shape = `${width} ${xs.length} ${colour("--text")}`;
    parts.chart.replaceChildren();
    const bars = (size, align) => uPlot.paths.bars({ size: [size, 40], align, radius: 0.15 });
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    parts.plot = new uPlot({
      width, height: 150, legend: { show: false }, cursor: { show: false }, padding: [8, 4, 0, 0],
      scales: { x: { time: true, range: [first - hour / 2, last + hour / 2] }, y: { range: (_, low, high) => [0, Math.max(5, high * 1.1)] } },
      axes: [{ ...axis, grid: { show: false }, values: (_, ticks) => ticks.map((tick) => String(new Date(tick * 1000).getHours()).padStart(2, "0")), incrs: [hour, 2 * hour, 4 * hour], space: 28 }, { ...axis, size: 44 }],
      series: [{}, { stroke: colour("--line-strong"), width: 1.5, dash: [4, 4], points: { show: false } },
        { fill: colour("--c1"), stroke: colour("--c1"), width: 0, paths: bars(0.6), points: { show: false } },
        { fill: colour("--c2"), stroke: colour("--c2"), width: 0, paths: bars(0.32), points: { show: false } }],
    }, data, parts.chart);
  }

  // --- agents --------------------------------------------------------------------------------------------------------------
  const order = { talking: 0, reserved: 0, wrap_up: 1, ready: 2, paused: 3, logged_out: 4 };

  function agentRow(one) {
    const who = make("button", { class: "who", type: "button" });
    const parts = { who, state: make("span", { class: "badge" }), since: make("td", { class: "num" }), busy: make("td", { class: "num" }), contacts: make("td", { class: "num" }), promises: make("td", { class: "num" }) };
    parts.row = make("tr", { on: { click: () => openAgent(one.id) } }, make("td", {}, who), make("td", {}, parts.state), parts.since, parts.busy, parts.contacts, parts.promises);
    rows.set(one.id, parts);
    return parts;
  }

  function drawAgents(changed) {
    const wanted = id("filter").value, text = id("search").value.trim().toLowerCase();
    for (const [name, parts] of rows) if (!now.agents[name]) { parts.row.remove(); rows.delete(name); }
    const shown = Object.values(now.agents).filter((one) => (!wanted || KIND[one.state] === wanted) && (!text || one.name.toLowerCase().includes(text) || one.id.toLowerCase().includes(text)));
    shown.sort((a, b) => (order[a.state] ?? 5) - (order[b.state] ?? 5) || a.since - b.since || a.id.localeCompare(b.id));
    for (const one of shown) {
      const parts = rows.get(one.id) ?? agentRow(one);
      set(parts.who, one.name || one.id);
      parts.state.className = `badge ${TONE[one.state] ?? ""}`;
      set(parts.state, state(one.state) + (one.state === "paused" && one.reason ? ` · ${reason(one.reason)}` : "") + (one.talk === "held" ? ` · ${t("on_hold")}` : "") + (one.supervised ? ` · ${t("supervised")}` : ""));
      const figures_ = floor.get(one.id);
      set(parts.busy, figures_?.occupancy == null ? "–" : share(figures_.occupancy, 0));
      set(parts.contacts, whole(figures_?.contacts ?? 0));
      set(parts.promises, whole(figures_?.promises ?? 0));
    }
    const body = id("agents"), wantedRows = shown.map((one) => rows.get(one.id).row);
    if (wantedRows.length !== body.children.length || wantedRows.some((row, index) => body.children[index] !== row)) {
      const focused = document.activeElement;
      body.replaceChildren(...wantedRows);
      if (focused && body.contains(focused)) focused.focus();
    }
    id("no-agents").hidden = shown.length > 0;
    set(id("agent-count"), whole(Object.keys(now.agents).length));
    if (id("filter").children.length < 2) id("filter").append(...window.Board.KINDS.map(([kind, name]) => make("option", { value: kind }, state(name))));
    states(id("states"), id("legend"));
    tick();
  }

  function tick() {
    const at = Date.now() / 1000;
    for (const [name, parts] of rows) { const one = now.agents[name]; if (one && parts.row.isConnected) set(parts.since, clock(at - one.since)); }
    if (open && now.agents[open] && id("agent").open) drawAgent();
  }

  let open = "";
  function openAgent(name) { open = name; id("agent-actions").dataset.key = ""; drawAgent(); id("agent").showModal(); }

  function drawAgent() {
    const one = now.agents[open];
    set(id("agent-name"), one.name || one.id);
    const its = floor.get(one.id);
    let box = id("agent-body").querySelector(".figures");
    if (!box) { box = make("dl", { class: "figures" }); id("agent-body").append(box, make("p", { class: "muted", id: "agent-now" }), make("div", { id: "agent-works" })); if (control) id("agent-body").append(noteForm(() => open)); }
    figures(box, [["state", state(one.state), clock(Date.now() / 1000 - one.since)], ["busy", t("occupancy"), its?.occupancy == null ? "–" : share(its.occupancy, 0)], ["time", t("agent_talk_time"), clock(its?.talk_s ?? 0), t("agent_talks", whole(its?.talks ?? 0))], ["contacts", t("contacts_today"), whole(its?.contacts ?? 0)], ["promises", t("promises_today"), whole(its?.promises ?? 0)]]);
    set(id("agent-now"), [one.campaign, reason(one.reason), one.muted && t("muted"), one.recording && t("recording"), one.supervised && `${t("supervised")}: ${t(one.supervised)}`].filter(Boolean).join(" · ") || " ");
    const worked = `${one.id} ${one.campaigns.join()}`;
    if (control && id("agent-works").dataset.key !== worked) { id("agent-works").dataset.key = worked; id("agent-works").replaceChildren(works(one)); }
    const key = `${one.id} ${one.state} ${one.supervised}`;
    if (!control || id("agent-actions").dataset.key === key) return;
    id("agent-actions").dataset.key = key;
    const url = `/api/v1/agents/${encodeURIComponent(one.id)}`, mine = page.dataset.extension;
    const with_ = (mode) => button(t(mode), (event) => command(event.currentTarget, `/api/v1/supervisors/${encodeURIComponent(mine)}/supervise`, { agent: one.id, mode }), one.supervised === mode ? "primary" : "");
    const force = (label, to) => button(label, (event) => command(event.currentTarget, `${url}/state`, { state: to, reason: "supervisor" }));
    const voice = mine ? [with_("listen"), with_("whisper"), with_("barge"), one.supervised ? button(t("listen_end"), (event) => command(event.currentTarget, `/api/v1/supervisors/${encodeURIComponent(mine)}/stop`)) : null]
      : [make("span", { class: "muted small grow" }, t("no_extension"))];
    id("agent-actions").replaceChildren(...[...voice, one.state === "ready" ? null : force(t("force_ready"), "ready"), one.state === "paused" ? null : force(t("force_pause"), "paused"), button(t("force_out"), async (event) => { const pressed = event.currentTarget; if (await ask(t("out_sure", one.name || one.id), { danger: true })) command(pressed, `${url}/state`, { state: "logged_out", reason: "supervisor" }); }, "danger")].filter(Boolean));
  }

  // --- all of it -----------------------------------------------------------------------------------------------------------
  follow((all, told) => {
    system(id("system"));
    alerts(id("alerts"), 4);
    figures(id("totals"), totals());
    for (const [name, parts] of cards) if (!now.campaigns[name]) { parts.box.remove(); cards.delete(name); }
    const idle = (one) => Number(one.state !== "running"), campaigns = Object.values(now.campaigns).sort((a, b) => idle(a) - idle(b)); // those that dial first, once
    if (!campaigns.length && !id("campaigns").children.length) id("campaigns").append(id("no-campaigns").content.cloneNode(true));
    for (const one of campaigns) if (all || told.campaigns?.[one.id]) drawCampaign(one);
    if (all || told.agents || told.gone?.agents) drawAgents(told.agents);
  });
  id("filter").addEventListener("change", () => drawAgents());
  id("search").addEventListener("input", () => drawAgents());
  setInterval(tick, 1000);
  async function fetchFloor() {
    const answer = await send("GET", "/api/v1/floor?states=false", undefined, { quiet: true });
    if (answer.ok) { floor = new Map(answer.data.map((one) => [one.agent, one])); drawAgents(); }
  }
  wire();
  fetchFloor();
  setInterval(() => { for (const name of cards.keys()) fetchDay(name); fetchFloor(); }, 15000);
  const again = () => { for (const [name, day] of days) if (cards.has(name)) drawChart(cards.get(name), day); };
  addEventListener("marcador:theme", again);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("resize", again);
})();
