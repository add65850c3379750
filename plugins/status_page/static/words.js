// What status page and wallboard share: the state as the stream tells it, totals, and alerts in words.
"use strict";
window.Board = (() => {
  const { share, whole, make, set } = window.Marcador;
  const said = JSON.parse(document.getElementById("status-texts").textContent);
  const fill = (text, ...values) => text.replace(/\{(\d)\}/g, (_, index) => values[index]);
  const t = (key, ...values) => fill(said[key] ?? key, ...values);
  const state = (name) => said[`state.${name}`] ?? name;
  const reason = (name) => said[`reason.${name}`] ?? name;
  const KIND = { talking: "talking", reserved: "talking", ready: "ready", wrap_up: "wrap", paused: "paused", logged_out: "away" };
  const TONE = { talking: "info", reserved: "info", ready: "ok", wrap_up: "warn", paused: "accent", logged_out: "" };

  const now = { system: {}, alerts: [], late: [], limits: null, campaigns: {}, agents: {}, trunks: {} };
  const history = []; // [time, attempts] of the last minute, for the pace

  function take(told) {
    for (const name of ["system", "alerts", "limits"]) if (name in told) now[name] = told[name];
    for (const name of ["campaigns", "agents", "trunks"]) {
      if (told[name]) Object.assign(now[name], told[name]);
      for (const id of told.gone?.[name] ?? []) delete now[name][id];
    }
    const attempts = Object.values(now.campaigns).reduce((sum, one) => sum + one.attempts, 0);
    history.push([Date.now(), attempts]);
    while (history.length > 2 && history[0][0] < Date.now() - 60000) history.shift();
  }

  function follow(draw) {
    window.Marcador.stream("/status/stream", {
      state: (told) => { for (const name of ["campaigns", "agents", "trunks"]) now[name] = {}; take(told); draw(true, told); },
      change: (told) => { take(told); draw(false, told); },
    });
  }

  function perMinute() {
    const [from, to] = [history[0], history[history.length - 1]];
    if (!from || to[0] - from[0] < 3000 || to[1] < from[1]) return null;
    return (to[1] - from[1]) * 60000 / (to[0] - from[0]);
  }

  function counts() {
    const found = { talking: 0, ready: 0, wrap: 0, paused: 0, away: 0 };
    for (const one of Object.values(now.agents)) found[KIND[one.state] ?? "away"] += 1;
    return found;
  }

  const KINDS = [["talking", "talking"], ["ready", "ready"], ["wrap", "wrap_up"], ["paused", "paused"], ["away", "logged_out"]];
  function states(bar, legend) {
    const by = counts(), all = Object.keys(now.agents).length;
    if (!bar.children.length) {
      bar.append(...KINDS.map(([kind]) => make("i", { class: `s-${kind}` })));
      legend.append(...KINDS.map(([kind]) => make("li", {}, make("i", { class: `s-${kind}` }), make("span"))));
    }
    KINDS.forEach(([kind, name], index) => {
      bar.children[index].style.width = `${all ? 100 * by[kind] / all : 0}%`;
      set(legend.children[index].lastElementChild, `${state(name)} ${whole(by[kind])}`);
    });
    bar.setAttribute("aria-label", KINDS.map(([kind, name]) => `${state(name)} ${by[kind]}`).join(", "));
  }

  const sum = (name) => Object.values(now.campaigns).reduce((total, one) => total + one[name], 0);

  // [key, label, value, what stands under it]
  function totals() {
    const by = counts();
    const lines = Object.values(now.trunks).reduce((total, one) => total + one.lines, 0);
    const used = Object.values(now.trunks).reduce((total, one) => total + one.lines_used, 0);
    const pace = perMinute();
    const live = sum("live_answers"), ledger = sum("ledger_live"), lost = sum("ledger_abandoned"), attempts = sum("attempts");
    return [
      ["talking", t("talking"), whole(by.talking), `${t("ready")}: ${whole(by.ready)}`],
      ["wrap", state("wrap_up"), whole(by.wrap), `${state("paused")}: ${whole(by.paused)}`],
      ["dialing", t("dialing"), whole(sum("dialing")), `${t("listening")}: ${whole(sum("listening"))}`],
      ["lines", t("lines"), `${whole(used)}/${whole(lines)}`, t("free", whole(lines - used))],
      ["pace", t("per_minute"), pace == null ? "–" : whole(Math.round(pace)), `${t("attempts")}: ${whole(attempts)}`],
      ["live", t("live_answers"), whole(live), `${t("contact_rate")}: ${share(attempts ? live / attempts : null)}`],
      ["waiting", t("waiting"), whole(sum("waiting")), ""],
      ["abandonment", t("abandonment"), share(ledger ? lost / ledger : null, 2), ledger ? `${whole(lost)} / ${whole(ledger)}` : ""],
    ];
  }

  function figures(box, rows) {
    if (box.children.length !== rows.length || !box.firstElementChild?.dataset.key) {
      box.replaceChildren(...rows.map(([key]) => make("div", { class: "figure", "data-key": key }, make("dt"), make("dd"), make("dd", { class: "under" }))));
    }
    rows.forEach(([, label, value, under, tone], index) => {
      const [dt, dd, small] = box.children[index].children;
      set(dt, label); set(dd, value); set(small, under ?? "");
      if (dt.title !== label) dt.title = label;
      if (dd.className !== (tone ?? "")) dd.className = tone ?? "";
    });
  }

  function words(alert) {
    const values = { ...alert.values };
    for (const name of ["share", "ceiling"]) if (name in values) values[name] = share(values[name], alert.key.startsWith("behind") ? 0 : name === "share" ? 2 : 1);
    if ("signs" in values) values.signs = values.signs.split(" ").map((sign) => said[`sign.${sign}`] ?? sign).join(", ");
    if ("state" in values) values.state = state(values.state).toLowerCase();
    return (said[`alert.${alert.key}`] ?? alert.key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }

  function alerts(box, most) {
    const shown = now.system.up === false ? [{ level: "bad", subject: "", key: "", text: `${t("engine_away")}: ${now.system.why}` }] : [...now.alerts, ...now.late];
    const wanted = shown.slice(0, most).map((one) => [one.level, one.subject, one.text ?? words(one)]);
    const key = JSON.stringify([wanted, shown.length]);
    if (box.dataset.key === key) return;
    box.dataset.key = key;
    box.replaceChildren(...wanted.map(([level, subject, text]) =>
      make("div", { class: `alert ${level}` }, subject ? make("strong", {}, subject) : null, make("span", {}, text))),
      ...(shown.length > most ? [make("div", { class: "small muted" }, t("more_alerts", shown.length - most))] : []));
  }

  function system(badge) {
    const up = now.system.up;
    badge.className = `badge ${up ? (now.system.store && now.system.media ? "ok" : "warn") : "bad"}`;
    set(badge, up ? `${now.system.node} · ${t("engine_up")}` : t("engine_away"));
  }

  function meter(element, one) {
    const ratio = one.ledger_live ? one.ledger_abandoned / one.ledger_live : 0;
    const top = one.abandonment_ceiling * 1.5;
    element.firstElementChild.style.width = `${Math.min(100, 100 * ratio / top)}%`;
    element.lastElementChild.style.left = `${100 / 1.5}%`;
    element.dataset.level = ratio > one.abandonment_ceiling ? "bad" : ratio > 0.8 * one.abandonment_ceiling ? "warn" : "ok";
    return ratio;
  }

  return { now, said, t, fill, state, reason, follow, totals, figures, alerts, system, states, meter, KIND, KINDS, TONE };
})();
