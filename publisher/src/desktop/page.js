// Keeps what changes by itself current, and copies the link. The page is complete without it.
let seen = "";
const wait = ms => new Promise(done => setTimeout(done, ms));

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(`/news?seen=${seen}`);
      if (answer.status === 200) {
        seen = answer.headers.get("x-seen") ?? "";
        const parts = document.createElement("template");
        parts.innerHTML = await answer.text();
        for (const part of [...parts.content.children]) {
          const old = document.getElementById(part.id);
          // A button under the finger stays where it is until it is let go.
          if (old && old.outerHTML !== part.outerHTML && !old.contains(document.activeElement)) old.replaceWith(part);
          else if (old && old.outerHTML !== part.outerHTML) seen = "";
        }
        await wait(250);
      } else if (answer.status !== 204) return;
    } catch { await wait(2000); }
  }
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  });
}
follow();
