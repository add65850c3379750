// A day on paper: the sheets of the reports, as the API gives them, for one day and one campaign or all.
"use strict";
(() => {
  const { send, whole, share, money, clock, set, make, lang } = window.Marcador;
  const said = JSON.parse(document.getElementById("report-texts").textContent);
  const id = (name) => document.getElementById(name);
  const SHEETS = {
    by_campaign: ["summary", { by: "campaign" }, ["campaign", "attempts", "live_answers", "contact_rate", "abandonment_rate", "right_party", "promises", "promised", "kept", "broken", "recovered", "talk_s"]],
    targets: ["targets", {}, ["campaign", "day", "metric", "goal", "reached", "share"]],
    by_agent: ["summary", { by: "agent" }, ["agent", "contacts", "right_party", "promises", "promised", "talk_s", "agent_s"]],
    by_hour: ["hours", {}, null],
    outcomes: ["outcomes", {}, null],
    reasons: ["reasons", {}, null],
  };

  const shown = (unit, value, currency) => value == null ? "–" :
    unit === "rate" ? share(value) : unit === "money" ? money(value, currency) : unit === "seconds" ? clock(value) : unit === "count" ? whole(value) : unit === "days" ? value.toFixed(1) : words_(value);
  const words_ = (value) => value === "" ? said.nobody : said[`value.${value}`] ?? said[`column.${value}`] ?? String(value);
  const name = (column) => said[`column.${column}`] ?? column.replaceAll("_", " ");

  function draw(section, sheet, wanted) {
    const body = section.querySelector(".body");
    const at = (wanted ?? sheet.columns.map((one) => one.name)).map((column) => sheet.columns.findIndex((one) => one.name === column)).filter((index) => index >= 0);
    const own = sheet.columns.findIndex((one) => one.name === "unit"); // of a sheet whose rows each have a unit of their own
    const words = (unit) => ["key", "text", "time"].includes(unit);
    if (!sheet.rows.length) { body.replaceChildren(section.querySelector("template").content.cloneNode(true)); return; }
    body.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...at.map((index) => make("th", { class: words(sheet.columns[index].unit) ? "" : "num", title: sheet.columns[index].words }, name(sheet.columns[index].name))))),
      make("tbody", {}, ...sheet.rows.map((row) => make("tr", {}, ...at.map((index) => make("td", { class: words(sheet.columns[index].unit) ? "" : "num" }, shown(own >= 0 && ["goal", "reached"].includes(sheet.columns[index].name) ? row[own] : sheet.columns[index].unit, row[index], sheet.currency))))))));
  }

  // Amounts of several currencies are never added up: where there are some, one is chosen.
  function known(...names) {
    const there = [...id("currency").options].map((one) => one.value);
    id("currency").append(...names.filter((one) => !there.includes(one)).map((one) => make("option", {}, one)));
    id("currency-field").hidden = id("currency").options.length < 3; // one, and none chosen, is no choice
  }
  function refused(section, why) {
    known(...(why?.match(/\b[A-Z]{3}\b/g) ?? []));
    section.querySelector(".body").replaceChildren(make("p", { class: "muted" }, !id("currency-field").hidden && !id("currency").value ? said.choose_currency : why || said.failed));
  }

  async function load() {
    const day = id("day").value, currency = id("currency").value, campaign = id("campaign").value;
    await Promise.all(Object.entries(SHEETS).map(async ([place, [report, more, wanted]]) => {
      const query = new URLSearchParams({ since: day, until: day, ...more, ...(campaign ? { campaign } : {}), ...(currency && report === "summary" ? { currency } : {}) });
      const answer = await send("GET", `/api/v1/reports/${report}?${query}`, undefined, { quiet: true });
      if (answer.ok) { if (answer.data.currency) known(answer.data.currency); draw(id(place), answer.data, wanted); } else refused(id(place), answer.data?.detail);
    }));
    set(document.querySelector("h1"), `${said.title} · ${new Date(`${day}T12:00`).toLocaleDateString(lang, { weekday: "long", day: "numeric", month: "long", year: "numeric" })}${campaign ? ` · ${campaign}` : ""}`);
  }

  const two = (number) => String(number).padStart(2, "0"), today = new Date();
  id("day").value = new URLSearchParams(location.search).get("day") || `${today.getFullYear()}-${two(today.getMonth() + 1)}-${two(today.getDate())}`;
  for (const input of ["day", "campaign", "currency"]) id(input).addEventListener("change", load);
  id("print").addEventListener("click", () => print());
  send("GET", "/api/v1/campaigns", undefined, { quiet: true }).then((answer) => { if (answer.ok) id("campaign").append(...answer.data.map((one) => make("option", {}, one.id))); });
  load();
})();
