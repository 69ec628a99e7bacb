// Keeps the page of an open order up to date: asks for news by long polling, and shows the new page when there is some.
// Without JavaScript the page reloads itself every few seconds.

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// Neither an unchanged order is news, nor a shop that is out of reach or wants to be asked less often.
const isNews = (answer) => answer && answer.status !== 304 && answer.status !== 429 && answer.status < 500;

async function waitForNews(etag) {
  for (;;) {
    const asked = Date.now();
    const headers = { "Accept": "application/json", "If-None-Match": etag, "Prefer": "wait=20" };
    const answer = await fetch(location.href, { headers, cache: "no-store" }).catch(() => null);
    if (isNews(answer)) return;
    // Whoever is answered at once, or not at all, is to ask again in a while.
    if (Date.now() - asked < 2000) await pause(2);
  }
}

async function follow() {
  const announcer = document.body.appendChild(document.createElement("p"));
  announcer.role = "status";
  announcer.className = "unseen";
  let shown = document.querySelector("[data-follow]");
  while (shown) {
    await waitForNews(shown.dataset.follow);
    const answer = await fetch(location.href, { headers: { "Accept": "text/html" } }).catch(() => null);
    if (!isNews(answer)) {
      await pause(2);
      continue;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = announcer.textContent = page.title;
    document.querySelector("main").replaceChildren(...page.querySelector("main").children);
    shown = document.querySelector("[data-follow]");
  }
}

follow();
