// What a supervisor changes from the page: how a campaign dials, for whom an agent works, from when on something is an alert.
"use strict";
window.Steer = (() => {
  const { send, toast, ask, make, set, share } = window.Marcador;
  const { now, said, t } = window.Board;
  const id = (name) => document.getElementById(name);
  const MODES = ["preview", "progressive", "ratio", "erlang_c", "predictive"];
  const mode = (name) => said[`mode.${name}`] ?? name;

  async function told(target, what, body) {
    target.classList.add("busy");
    const answer = await send("POST", what, body ?? {});
    target.classList.remove("busy");
    if (answer.ok) toast(t("done"));
    return answer.ok;
  }

  // --- how a campaign dials ------------------------------------------------------------------------------------------------
  let campaign = "";
  function boldness() {
    const one = now.campaigns[campaign], part = Number(id("dial-share").value) / 100;
    set(id("dial-said"), t("dial_share", share(part, 0), share(one.abandonment_ceiling * part, 2), share(one.abandonment_ceiling, 1)));
    id("dial-ratio-field").hidden = id("dial-mode").value !== "ratio";
    set(id("dial-mode-said"), said[`mode_says.${id("dial-mode").value}`] ?? "");
  }
  function dial(name) {
    campaign = name;
    const one = now.campaigns[name];
    set(id("dial-name"), t("dial_of", name));
    id("dial-mode").replaceChildren(...MODES.map((kind) => make("option", { value: kind, selected: kind === one.pacing }, mode(kind))));
    id("dial-share").value = Math.round(one.ceiling_share * 100);
    id("dial-ratio").value = one.ratio;
    id("dial-written").hidden = !one.steered;
    boldness();
    id("dial").showModal();
  }
  function wire() {
    if (!id("dial")) return;
    for (const name of ["dial-share", "dial-mode"]) id(name).addEventListener("input", boldness);
    id("dial-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const one = now.campaigns[campaign], wanted = { pacing: id("dial-mode").value, ceiling_share: Number(id("dial-share").value) / 100 };
      if (wanted.pacing === "ratio") wanted.ratio = Number(id("dial-ratio").value);
      if (wanted.pacing !== one.pacing && !(await ask(t("mode_sure", campaign, mode(one.pacing), mode(wanted.pacing))))) return;
      if (await told(id("dial-apply"), `/api/v1/campaigns/${encodeURIComponent(campaign)}/pacing`, wanted)) id("dial").close();
    });
    id("dial-written").addEventListener("click", async (event) => {
      if (await told(event.currentTarget, `/api/v1/campaigns/${encodeURIComponent(campaign)}/pacing`, {})) id("dial").close();
    });
    id("limits-open").addEventListener("click", limits);
    id("limits-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const wanted = {};
      for (const input of event.target.elements) if (input.name) wanted[input.name] = Number(input.value) / (input.dataset.percent ? 100 : 1);
      if (await told(id("limits-apply"), "/status/limits", wanted)) { now.limits = wanted; id("limits").close(); }
    });
  }

  // --- for whom an agent works ---------------------------------------------------------------------------------------------
  function works(agent) {
    const names = Object.keys(now.campaigns).sort();
    const boxes = names.map((name) => make("label", { class: "check" }, make("input", { type: "checkbox", value: name, checked: agent.campaigns.includes(name) }), name));
    const apply = make("button", { class: "btn small", type: "button", on: { click: async () => {
      const chosen = boxes.map((box) => box.firstElementChild).filter((box) => box.checked).map((box) => box.value);
      if (!chosen.length) { toast(t("move_none"), true); return; }
      if (await ask(t("move_sure", agent.name || agent.id, chosen.join(", ")))) await told(apply, `/api/v1/agents/${encodeURIComponent(agent.id)}/campaigns`, { campaigns: chosen.length === names.length ? [] : chosen });
    } } }, t("move"));
    return make("fieldset", { class: "stack works" }, make("legend", {}, t("works_for")), make("div", { class: "row" }, ...boxes), make("div", { class: "row" }, apply, make("span", { class: "small muted" }, t("move_says"))));
  }

  // --- a word to an agent, at the top of their desk until they have read it --------------------------------------------------
  function noteForm(whom) {
    const text = make("input", { id: "agent-note", maxlength: "1000", required: true, autocomplete: "off" }), button = make("button", { class: "btn small", type: "submit" }, t("note_send"));
    return make("form", { class: "field", on: { submit: async (event) => { event.preventDefault(); if (text.value.trim() && await told(button, `/api/v1/agents/${encodeURIComponent(whom())}/notes`, { note: text.value.trim() })) text.value = ""; } } },
      make("label", { for: "agent-note" }, t("note")), make("div", { class: "row nowrap" }, text, button));
  }

  // --- from when on something is an alert ----------------------------------------------------------------------------------
  function limits() {
    for (const input of id("limits-form").elements) if (input.name) input.value = +(now.limits[input.name] * (input.dataset.percent ? 100 : 1)).toFixed(1);
    id("limits").showModal();
  }

  // A campaign whose day lags behind the same hours of last week; its figures come with the day, not with the stream.
  function behind(days) {
    const found = [], limit = now.limits?.behind ?? 1;
    for (const [name, day] of days) {
      if (!now.campaigns[name]) continue;
      const at = Date.parse(day.at_utc) - 7 * 86400000;
      const before = day.last_week.reduce((sum, one) => sum + one.live_answers * Math.min(1, Math.max(0, (at - Date.parse(one.at_utc)) / 3600000)), 0);
      const today = day.hours.reduce((sum, one) => sum + one.live_answers, 0);
      const pairs = [["live", today, before, 20], ["promises", day.promised.count, day.promised_last_week.count, 5]];
      for (const [what, got, had, fewest] of pairs) {
        if (had >= fewest && got < (1 - limit) * had) found.push({ key: `behind_${what}`, level: "warn", subject: name, values: { share: 1 - got / had } });
      }
    }
    return found;
  }

  return { dial, works, noteForm, behind, wire, mode, told };
})();
