// The visitor's day: a list of stops, one of them open, and what happens there. All of it works without a network; what happened is told when there is one.
"use strict";
(() => {
  const { make, set, money, toast, lang } = window.Marcador;
  const id = (name) => document.getElementById(name);
  const said = JSON.parse(id("visits-texts").textContent);
  const t = (key, ...values) => (said[key] ?? key).replace(/\{(\d)\}/g, (_, index) => values[index]);
  const word = (kind, name) => said[`${kind}.${name}`] ?? name;
  const newId = () => { const b = crypto.getRandomValues(new Uint8Array(16)); b[6] = (b[6] & 15) | 64; b[8] = (b[8] & 63) | 128; return [...b].map((one, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + one.toString(16).padStart(2, "0")).join(""); };
  const hour = (iso) => new Date(iso).toLocaleTimeString(lang, { hour: "2-digit", minute: "2-digit" });
  const far = (metres) => metres < 950 ? `${Math.round(metres / 10) * 10} m` : `${(metres / 1000).toFixed(1)} km`;
  const ANSWER_WITHIN_MS = 6000, LOCATE_WITHIN_MS = 10000, MOST_PIXELS = 1600, MOST_BYTES = 900000, SOON_MS = 1000, RARELY_MS = 60000;

  let day = null, queue = [], open = null, draft = null, reached = navigator.onLine, csrf = "";

  // --- asking and telling ------------------------------------------------------------------------------------------------------------
  // {status: 0} where nobody answered. Never throws.
  async function call(method, url, body, headers = {}) {
    const stop = new AbortController(), timer = setTimeout(() => stop.abort(), body instanceof ArrayBuffer ? 60000 : ANSWER_WITHIN_MS);
    try {
      const answer = await fetch(url, { method, body, signal: stop.signal, credentials: "same-origin", headers: { Accept: "application/json", "X-CSRF-Token": csrf, ...headers } });
      const data = await answer.json().catch(() => null);
      reached = answer.status < 500;
      return { status: answer.status, data };
    } catch { reached = false; return { status: 0, data: null }; } finally { clearTimeout(timer); drawLink(); }
  }
  const told = (item) => call("POST", "/visits/told", JSON.stringify({ items: [item] }), { "Content-Type": "application/json" });

  async function fetchDay() {
    const answer = await call("GET", "/visits/day");
    id("login").hidden = answer.status !== 401;
    if (answer.status !== 200) return false;
    csrf = answer.data.csrf;
    day = { ...answer.data, csrf: undefined };
    await Kept.put("day", day);
    return true;
  }

  let sending = false;
  async function sync() {
    if (sending) return;
    sending = true;
    try {
      if (!(await fetchDay())) return;
      for (const entry of await Kept.waiting()) {
        if (entry.why) continue;
        const answer = entry.photo
          ? await call("POST", `/visits/${entry.visit}/photos/${entry.photo}`, entry.bytes, { "Content-Type": "application/octet-stream", "X-SHA256": entry.sha256 })
          : await told(entry.item);
        if (answer.status === 0 || answer.status >= 500 || [401, 403, 408, 429].includes(answer.status)) return; // later, perhaps after a log-in
        const result = entry.photo ? answer.data : answer.data?.results?.[0];
        if (answer.status === 200 && ["taken", "known"].includes(result?.status)) await Kept.sent(entry.key);
        else await Kept.refuse(entry, result?.detail || result?.why || answer.data?.detail || String(answer.status));
      }
      if (queue.some((one) => !one.why)) { await fetchDay(); toast(t("sent")); }
    } finally {
      sending = false;
      queue = await Kept.waiting();
      draw();
    }
  }

  // --- the list ----------------------------------------------------------------------------------------------------------------------
  const waitingOf = (visit) => queue.filter((one) => !one.why && (one.item?.visit ?? one.visit) === visit);
  function stateOf(stop) {
    const items = waitingOf(stop.visit.id).filter((one) => one.item).map((one) => one.item);
    const end = items.find((one) => one.what === "end");
    if (end) return end.outcome === "spoke" ? "done" : "failed";
    return items.some((one) => one.what === "begin") && stop.visit.state === "assigned" ? "under_way" : stop.visit.state;
  }
  const tone = { done: "ok", failed: "warn", under_way: "info" };
  const badges = (stop) => [
    make("span", { class: `badge ${tone[stateOf(stop)] ?? ""}` }, word("state", stateOf(stop))),
    waitingOf(stop.visit.id).length ? make("span", { class: "badge warn" }, t("waits")) : null,
    ...stop.visit.marks.map((one) => make("span", { class: one === "offline" ? "badge" : "badge warn" }, word("mark", one))),
    ...stop.visit.conflicts.map((one) => make("span", { class: "badge bad" }, word("conflict", one.split(" ")[0]))),
  ];
  const hoursOf = (stop) => stop.hours.map(([from, to]) => `${hour(from)}–${hour(to)}`).join(", ");

  function drawLink() {
    const badge = id("link"), left = queue.filter((one) => !one.why).length;
    badge.className = `badge ${reached ? (left ? "warn" : "ok") : "bad"}`;
    set(badge, (reached ? t("online") : t("offline")) + (left ? ` · ${t("waiting", left)}` : ""));
  }

  function draw() {
    drawLink();
    const stops = day?.stops ?? [];
    id("nothing-kept").hidden = Boolean(day);
    id("none").hidden = !day || stops.length > 0;
    id("stops").replaceChildren(...stops.map((stop, index) => make("li", {},
      make("button", { type: "button", class: "card stop", "data-visit": stop.visit.id, on: { click: () => show(stop.visit.id) } },
        make("span", { class: "place", "aria-hidden": "true" }, String(index + 1)),
        make("span", { class: "grow" },
          make("span", { class: "strong block" }, stop.name || stop.number),
          make("span", { class: "block" }, stop.address || "–"),
          make("span", { class: "small muted block" }, [stop.from_last_m == null ? "" : t("from_last", far(stop.from_last_m)),
            stateOf(stop) !== "assigned" ? "" : stop.hours.length ? t("hours", hoursOf(stop)) : t("not_today")].filter(Boolean).join(" · ")),
          make("span", { class: "row tight wrap" }, ...badges(stop)))))));
    const wrong = queue.filter((one) => one.why);
    id("problems").hidden = !wrong.length;
    id("problem-list").replaceChildren(...wrong.map((entry) => make("li", { class: "stack" },
      make("p", {}, `${nameOf(entry)}: ${t("refused_item", entry.why)}`),
      make("button", { class: "btn small", type: "button", on: { click: async () => { await Kept.sent(entry.key); queue = await Kept.waiting(); draw(); } } }, t("dismiss")))));
    if (open) drawStop();
  }
  const nameOf = (entry) => { const stop = day?.stops.find((one) => one.visit.id === (entry.item?.visit ?? entry.visit)); return stop ? stop.name || stop.number : t("from_device"); };

  // --- one stop ----------------------------------------------------------------------------------------------------------------------
  async function show(visit) {
    open = visit;
    draft = (await Kept.get(`draft ${visit}`)) ?? { outcome: "", answers: {}, note: "", amount: "", due: "", photos: [] };
    id("list").hidden = true;
    id("stop").hidden = false;
    say("");
    drawForm();
    drawStop();
    id("stop-title").focus();
    scrollTo(0, 0);
  }
  function close() {
    const from = open;
    open = draft = null;
    id("stop").hidden = true;
    id("list").hidden = false;
    draw();
    (document.querySelector(`[data-visit="${from}"]`) ?? id("list-title")).focus();
  }
  const current = () => day.stops.find((one) => one.visit.id === open);
  const say = (text) => { id("said").hidden = !text; set(id("said"), text); };

  function drawStop() {
    const stop = current();
    if (!stop) return close();
    const state = stateOf(stop);
    set(id("stop-title"), stop.name || stop.number);
    id("stop-facts").replaceChildren(...[
      make("p", {}, stop.address || "–"),
      make("p", { class: "row tight wrap" }, ...badges(stop)),
      make("p", { class: "small muted" }, `${t("account")} ${stop.number}`),
      stop.visit.note ? make("p", {}, stop.visit.note) : null,
      state === "assigned" ? make("p", { class: "small" }, stop.hours.length ? t("hours", hoursOf(stop)) : t("not_today")) : null,
      make("p", { class: "row" },
        stop.point == null ? null : make("a", { class: "btn", href: `geo:${stop.point}?q=${stop.point}` }, t("map")),
        stop.phone ? make("a", { class: "btn", href: `tel:${stop.phone}` }, t("call")) : null),
    ].filter(Boolean));
    id("begin").hidden = state !== "assigned";
    id("form").hidden = state !== "under_way";
    const spoke = draft.outcome === "spoke";
    id("debt").hidden = id("promise").hidden = !spoke; // not before it is known that the person is at the door
    set(id("debt-facts"), [stop.creditor, money(stop.balance_minor, stop.currency), stop.days_past_due == null ? "" : t("days_late", stop.days_past_due)].filter(Boolean).join(" · "));
    for (const field of id("questions").children) {
      const when = field.dataset.when;
      field.hidden = Boolean(when) && !when.split(" ").includes(draft.outcome);
    }
    drawPhotos();
  }

  function drawForm() {
    id("outcomes").replaceChildren(id("outcomes").firstElementChild, ...day.outcomes.map((name) => make("label", { class: "option" },
      make("input", { type: "radio", name: "outcome", value: name, checked: draft.outcome === name }), word("outcome", name))));
    id("questions").replaceChildren(...day.questions.map((one) => {
      const name = `q-${one.id}`, attributes = { id: name, name, "data-question": one.id, "aria-required": one.required ? "true" : null };
      const option = (value, text) => make("option", { value, selected: draft.answers[one.id] === value }, text);
      let input;
      if (one.kind === "choice") input = make("select", attributes, option("", t("choose")), ...one.choices.map((choice) => option(choice.id, choice[lang])));
      else if (one.kind === "yes_no") input = make("select", attributes, option("", t("choose")), option("yes", t("yes")), option("no", t("no")));
      else input = make("input", { ...attributes, type: one.kind === "day" ? "date" : "text", inputmode: one.kind === "number" ? "decimal" : null, maxlength: "1000", autocomplete: "off", value: draft.answers[one.id] ?? "" });
      return make("div", { class: "field", "data-when": one.when.join(" ") }, make("label", { for: name }, `${one.label[lang]}${one.required ? "" : ` ${t("optional")}`}`), input);
    }));
    for (const name of ["note", "amount", "due"]) id(name).value = draft[name];
  }

  function keepDraft() {
    const form = id("form");
    draft.outcome = form.querySelector("input[name=outcome]:checked")?.value ?? "";
    draft.answers = Object.fromEntries([...form.querySelectorAll("[data-question]")].map((one) => [one.dataset.question, one.value]));
    for (const name of ["note", "amount", "due"]) draft[name] = id(name).value;
    return Kept.put(`draft ${open}`, draft);
  }

  // --- photos: made small here, and without what the camera wrote into them ------------------------------------------------------------
  async function addPhotos(files) {
    for (const file of files) {
      if (draft.photos.length >= day.most_photos) { say(t("most_photos", day.most_photos)); return; }
      const image = await createImageBitmap(file).catch(() => null);
      if (!image) { say(t("no_photo")); continue; }
      const share = Math.min(1, MOST_PIXELS / Math.max(image.width, image.height));
      const canvas = make("canvas", { width: Math.round(image.width * share), height: Math.round(image.height * share) });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      let blob;
      for (const quality of [.85, .7, .5, .3]) {
        blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
        if (blob.size <= MOST_BYTES) break;
      }
      const bytes = await blob.arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      draft.photos.push({ photo: newId(), bytes, sha256: [...digest].map((one) => one.toString(16).padStart(2, "0")).join("") });
      await keepDraft();
    }
    drawPhotos();
  }
  async function drawPhotos() {
    const list = id("photos");
    list.replaceChildren(...draft.photos.map((one, index) => {
      const canvas = make("canvas", { width: 96, height: 96, role: "img", "aria-label": t("photo_number", index + 1) });
      createImageBitmap(new Blob([one.bytes], { type: "image/jpeg" })).then((image) => {
        const side = Math.min(image.width, image.height);
        canvas.getContext("2d").drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, 96, 96);
      });
      return make("li", {}, canvas, make("button", { class: "btn small", type: "button", "aria-label": t("remove", index + 1), on: { click: async () => { draft.photos.splice(index, 1); await keepDraft(); drawPhotos(); } } }, "×"));
    }));
  }

  // --- what happens at the door ------------------------------------------------------------------------------------------------------
  const locate = () => new Promise((done) => {
    if (!navigator.geolocation) { done(null); return; }
    navigator.geolocation.getCurrentPosition(
      ({ coords, timestamp }) => done({ latitude: coords.latitude, longitude: coords.longitude, accuracy_m: coords.accuracy, at: new Date(timestamp).toISOString() }),
      () => done(null), { enableHighAccuracy: true, timeout: LOCATE_WITHIN_MS, maximumAge: 30000 });
  });
  async function keep(entries, after) {
    try { await Kept.queue(entries, after); } catch { say(t("no_room")); return false; }
    queue = await Kept.waiting();
    return true;
  }

  id("begin").addEventListener("click", async () => {
    const stop = current(), button = id("begin");
    button.disabled = true;
    say(t("locating"));
    const item = { id: newId(), visit: stop.visit.id, what: "begin", at: new Date().toISOString(), offline: false, position: await locate() };
    say("");
    const answer = csrf && navigator.onLine ? await told(item) : { status: 0 };
    button.disabled = false;
    const result = answer.data?.results?.[0];
    if (answer.status === 200 && result.status === "refused") {
      say(`${t("not_now")}: ${result.why}. ${result.allowed_from ? t("from", hour(result.allowed_from)) : ""}`);
    } else if (answer.status === 200) {
      stop.visit.state = result.state;
      await Kept.put("day", day);
    } else { // nobody to ask: by what was said when the day was fetched
      const now = Date.now();
      if (!stop.hours.some(([from, to]) => now >= Date.parse(from) && now < Date.parse(to))) { say(t("not_now")); return; }
      if (await keep([{ item: { ...item, offline: true } }])) toast(t("kept"));
    }
    draw();
    id("form").querySelector("input")?.focus();
  });

  id("form").addEventListener("input", async (event) => {
    if (event.target.id === "photo") return;
    await keepDraft();
    if (event.target.name === "outcome") drawStop();
  });
  id("photo").addEventListener("change", async (event) => { await addPhotos([...event.target.files]); event.target.value = ""; });

  id("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await keepDraft();
    const missing = !draft.outcome ? id("outcomes").querySelector("input")
      : [...id("questions").querySelectorAll("[aria-required]")].find((one) => !one.closest(".field").hidden && !one.value.trim());
    if (missing) { missing.setAttribute("aria-invalid", "true"); missing.focus(); return; }
    const spoke = draft.outcome === "spoke", minor = Math.round(Number(draft.amount.replace(/,/g, "")) * 100);
    if (spoke && (draft.amount || draft.due) && !(minor > 0 && draft.due)) { (minor > 0 ? id("due") : id("amount")).focus(); return; }
    say(t("locating"));
    const position = await locate();
    say("");
    const answers = Object.fromEntries([...id("questions").querySelectorAll("[data-question]")].filter((one) => !one.closest(".field").hidden && one.value.trim()).map((one) => [one.dataset.question, one.value]));
    const item = {
      id: newId(), visit: open, what: "end", at: new Date().toISOString(), offline: !navigator.onLine, position, outcome: draft.outcome, answers, note: draft.note,
      ...(spoke && draft.amount ? { promise: { amount_minor: minor, due_date: draft.due } } : {}),
    };
    if (!(await keep([{ item }, ...draft.photos.map((one) => ({ visit: open, ...one }))], `draft ${open}`))) return;
    toast(t("kept"));
    close();
    soon();
  });

  id("back").addEventListener("click", close);
  // What a telephone says of its network is often wrong, either way: tried again soon, then ever more rarely, so that its battery lasts.
  let pause = SOON_MS, timer;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      if (!reached || queue.some((one) => !one.why)) await sync();
      pause = Math.min(pause * 2, RARELY_MS);
      later();
    }, pause);
  }
  const soon = async () => { pause = SOON_MS; later(); await sync(); };
  addEventListener("online", soon);
  addEventListener("offline", () => { reached = false; drawLink(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });

  (async () => {
    day = (await Kept.get("day")) ?? null;
    queue = await Kept.waiting();
    draw();
    await soon();
    await Kept.keepPage().catch(() => null);
    document.documentElement.dataset.kept = "yes";
  })();
})();
