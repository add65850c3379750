// What every page does: changes sent with the page's own token, told when they fail; theme, language, leaving; clocks that tick here.
"use strict";
(() => {
  const csrf = document.querySelector('meta[name="csrf"]')?.content ?? "";
  const said = JSON.parse(document.getElementById("core-texts")?.textContent || "{}");
  const lang = document.documentElement.lang;

  const year = 31536000;
  const keep = (name, value) => { document.cookie = `${name}=${value};path=/;max-age=${year};samesite=lax`; };

  function toast(text, bad = false) {
    const box = document.querySelector(".toasts");
    if (!box) return;
    const item = document.createElement("div");
    item.className = bad ? "toast bad" : "toast";
    item.textContent = text;
    box.append(item);
    setTimeout(() => item.remove(), bad ? 9000 : 3500);
  }

  // Returns {ok, status, data, away, version}. Never throws: `away` says that nobody answered, so that what was typed is kept and sent again.
  // `match` is the version that a change builds on: 412 where somebody has changed it since.
  async function send(method, url, body, { quiet = false, match = null } = {}) {
    let answer;
    try {
      answer = await fetch(url, {
        method, credentials: "same-origin",
        headers: { "X-CSRF-Token": csrf, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...(match ? { "If-Match": match } : {}) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      if (!quiet) toast(said.away, true);
      return { ok: false, status: 0, data: null, away: true };
    }
    if (answer.status === 401) { location.href = "/login?next=" + encodeURIComponent(location.pathname); }
    const to = answer.headers.get("X-Go-To");
    if (to) { location.href = to; }
    const type = answer.headers.get("content-type") || "";
    const data = type.includes("json") ? await answer.json().catch(() => null) : await answer.text();
    if (!answer.ok && !quiet) toast(data?.detail || said.failed, true);
    return { ok: answer.ok, status: answer.status, data, away: answer.status === 503, version: answer.headers.get("ETag") };
  }

  // A stream of events that comes back by itself and says so when it is away.
  function stream(url, on) {
    let source, shown;
    const bar = document.querySelector(".offline");
    const open = () => {
      source = new EventSource(url);
      for (const [name, act] of Object.entries(on)) source.addEventListener(name, (event) => act(JSON.parse(event.data)));
      source.onopen = () => { clearTimeout(shown); if (bar) bar.hidden = true; };
      source.onerror = () => {
        clearTimeout(shown);
        shown = setTimeout(() => { if (bar) bar.hidden = false; }, 1500);
        if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
      };
    };
    open();
    addEventListener("pagehide", () => source.close());
  }

  // Why the law does not let somebody be contacted; a rule of an operator's own pack says it in its own words.
  const rule = (name, reason) => said[`rule.${name}`] ?? (reason || name.replaceAll("_", " "));

  const two = (number) => String(number).padStart(2, "0");
  function clock(seconds) {
    const whole = Math.max(0, Math.floor(seconds));
    const hours = Math.floor(whole / 3600);
    return (hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}` : `${Math.floor(whole / 60)}`) + `:${two(whole % 60)}`;
  }

  const number = new Intl.NumberFormat(lang === "es" ? "es-MX" : "en-US");
  const whole = (value) => number.format(value);
  const share = (value, digits = 1) => value == null || !isFinite(value) ? "–" :
    (100 * value).toLocaleString(lang === "es" ? "es-MX" : "en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) + " %";
  const USUAL = "MXN"; // of accounts that name none, as `dialer_core/money.py` has it
  function money(minor, currency) {
    if (minor == null) return "–";
    return (minor / 100).toLocaleString(lang === "es" ? "es-MX" : "en-US", { style: "currency", currency: currency || USUAL, currencyDisplay: "narrowSymbol" });
  }

  // Text is only set where it changed: no layout is computed for numbers that stay.
  function set(element, text) { if (element && element.textContent !== text) element.textContent = text; }
  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value == null) continue;
      if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (name === "class") element.className = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  // Asks before something that is not taken back by a click. Resolves to whether they said yes; Escape is no.
  function ask(question, { yes = said.yes, danger = false } = {}) {
    const box = make("dialog", { class: "ask", "aria-label": question },
      make("div", { class: "body" }, make("p", {}, question)),
      make("footer", {}, make("button", { class: "btn", type: "button", value: "" }, said.cancel), make("button", { class: `btn ${danger ? "danger" : "primary"}`, type: "button", value: "yes" }, yes)));
    document.body.append(box);
    return new Promise((done) => {
      for (const button of box.querySelectorAll("button")) button.addEventListener("click", () => box.close(button.value));
      box.addEventListener("close", () => { done(box.returnValue === "yes"); box.remove(); });
      box.showModal();
      box.querySelector("footer .btn:last-child").focus();
    });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-do]");
    if (!button) return;
    if (button.dataset.do === "theme") {
      const dark = document.documentElement.dataset.theme
        ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      document.documentElement.dataset.theme = dark ? "light" : "dark";
      keep("marcador_theme", dark ? "light" : "dark");
      dispatchEvent(new Event("marcador:theme"));
    } else if (button.dataset.do === "language") {
      keep("marcador_language", lang === "es" ? "en" : "es");
      location.reload();
    } else if (button.dataset.do === "logout") {
      dispatchEvent(new Event("marcador:logout"));
      await send("POST", "/logout");
    } else if (button.dataset.do === "close") {
      button.closest("dialog")?.close();
    }
  });

  document.getElementById("password-form")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const answer = await fetch("/account/password", { method: "POST", headers: { "X-CSRF-Token": csrf }, body: new URLSearchParams(new FormData(form)) }).catch(() => null);
    const wrong = form.querySelector(".wrong");
    if (answer?.ok) location.href = "/login";
    else { wrong.textContent = answer ? (await answer.json().catch(() => ({}))).detail || said.failed : said.away; wrong.hidden = false; }
  });

  window.Marcador = { send, stream, toast, ask, clock, whole, share, money, set, make, rule, lang };
})();
