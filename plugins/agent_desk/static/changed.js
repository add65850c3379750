// Two who change one account at once: whoever comes second sees what they had before them and what is there now, and decides.
"use strict";
(() => {
  const { send, money, make } = window.Marcador;
  const { t, id, date, moment, now, api, save, word, fetchPerson } = window.Desk;
  const promise = (view) => !view.promise ? "–" : `${money(view.promise.total_minor, view.account.currency)} · ${view.promise.instalments.map((one) => date(one.due_date)).join(", ")}`;
  const WHAT = [
    ["balance", (view) => money(view.account.balance_minor, view.account.currency)], ["past_due", (view) => view.account.days_past_due ?? "–"], ["due", (view) => view.account.due_date ? date(view.account.due_date) : "–"],
    ["open_promise", promise], ["open_callback", (view) => view.callbacks.map((one) => moment(one.due_at_utc)).join(", ") || "–"], ["in_force", (view) => view.restrictions.map((one) => word(one.kind)).join(", ") || "–"],
  ];

  addEventListener("desk:changed", async ({ detail: { url, body, words, after } }) => {
    const before = now.view, whom = now.account, answer = await send("GET", api(""), undefined, { quiet: true });
    if (!answer.ok || !before || whom !== now.account) { fetchPerson(); return; }
    const rows = WHAT.map(([name, of]) => [name, String(of(before)), String(of(answer.data))]).filter(([, was, is]) => was !== is);
    const box = make("dialog", { id: "changed", "aria-labelledby": "changed-title" },
      make("header", {}, make("h2", { id: "changed-title" }, t("changed_title"))),
      make("div", { class: "body" }, make("p", {}, t("changed_why")),
        make("table", {}, make("thead", {}, make("tr", {}, make("th", {}, ""), make("th", {}, t("you_saw")), make("th", {}, t("is_now")))),
          make("tbody", {}, ...rows.map(([name, was, is]) => make("tr", {}, make("th", { scope: "row" }, t(name)), make("td", {}, was), make("td", { class: "strong" }, is))))),
        make("h3", {}, t("you_wanted")), make("p", { class: "pre say" }, words)),
      make("footer", {}, make("button", { class: "btn", type: "button", value: "" }, t("leave_it")), make("button", { class: "btn primary", type: "button", value: "yes" }, t("do_anyway"))));
    document.body.append(box);
    for (const button of box.querySelectorAll("button")) button.addEventListener("click", () => box.close(button.value));
    box.addEventListener("close", async () => { // what was typed stays in its fields where it is not recorded
      box.remove();
      if (box.returnValue === "yes") await save(url, body, words, after, answer.version); else fetchPerson();
    });
    box.showModal();
    box.querySelector("footer .btn").focus();
  });
})();
