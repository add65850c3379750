// The plan of visits: handing an account over, and taking a visit back. The page is drawn anew by the server after each.
"use strict";
(() => {
  const { send } = window.Marcador;
  document.getElementById("give").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await send("POST", "/visits/plan", Object.fromEntries(new FormData(event.target)));
    if (answer.ok) location.reload();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-take-back]");
    if (!button) return;
    const answer = await send("POST", `/visits/plan/${button.dataset.takeBack}/take-back`);
    if (answer.ok) location.reload();
  });
})();
