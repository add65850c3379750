// The wallboard: the same numbers, fewer and larger.
"use strict";
(() => {
  const { make, set, share, whole } = window.Marcador;
  const { now, t, follow, totals, figures, alerts, system, states, meter, said } = window.Board;
  const id = (name) => document.getElementById(name);
  const rows = new Map();

  function row(one) {
    const parts = { name: make("strong"), state: make("span", { class: "badge" }), talking: make("b"), live: make("b"), rate: make("b"), lost: make("b"), meter: make("div", { class: "meter" }, make("i"), make("b")) };
    const cell = (label, ...inside) => make("div", {}, make("span", { class: "muted small" }, label), ...inside);
    parts.box = make("article", { class: "card" }, make("div", {}, parts.name, make("br"), parts.state), cell(t("talking"), parts.talking), cell(t("live_answers"), parts.live), cell(t("contact_rate"), parts.rate), cell(t("abandonment"), parts.lost, parts.meter));
    rows.set(one.id, parts);
    id("campaigns").append(parts.box);
    return parts;
  }

  follow(() => {
    system(id("system"));
    alerts(id("alerts"), 3);
    figures(id("totals"), totals());
    states(id("states"), id("legend"));
    for (const [name, parts] of rows) if (!now.campaigns[name]) { parts.box.remove(); rows.delete(name); }
    id("campaigns").dataset.many = String(Math.min(4, Object.keys(now.campaigns).length));
    for (const one of Object.values(now.campaigns)) {
      const parts = rows.get(one.id) ?? row(one);
      set(parts.name, one.id);
      set(parts.state, said[`campaign_state.${one.state}`] ?? one.state);
      parts.state.className = `badge ${one.state === "running" ? "ok" : "warn"}`;
      set(parts.talking, whole(one.talking)); set(parts.live, whole(one.live_answers));
      set(parts.rate, share(one.attempts ? one.live_answers / one.attempts : null));
      set(parts.lost, share(meter(parts.meter, one), 2));
    }
  });
  const tick = () => set(id("clock"), new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" }));
  tick(); setInterval(tick, 1000);
})();
