// Updates the page of an open order by long polling. Without JavaScript the page reloads itself every few seconds.

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// An unchanged order is no news, nor is an unreachable shop or a rate limit.
const hasChanged = (response) => response && response.status !== 304 && response.status !== 429 && response.status < 500;

async function waitForChange(etag) {
  for (;;) {
    const sentAt = Date.now();
    const headers = { "Accept": "application/json", "If-None-Match": etag, "Prefer": "wait=20" };
    const response = await fetch(location.href, { headers, cache: "no-store" }).catch(() => null);
    if (hasChanged(response)) return;
    // After an immediate response or a failure, wait before the next request.
    if (Date.now() - sentAt < 2000) await pause(2);
  }
}

async function follow() {
  const announcer = document.body.appendChild(document.createElement("p"));
  announcer.role = "status";
  announcer.className = "unseen";
  let shown = document.querySelector("[data-follow]");
  while (shown) {
    await waitForChange(shown.dataset.follow);
    const response = await fetch(location.href, { headers: { "Accept": "text/html" } }).catch(() => null);
    if (!hasChanged(response)) {
      await pause(2);
      continue;
    }
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    document.title = announcer.textContent = page.title;
    document.querySelector("main").replaceChildren(...page.querySelector("main").children);
    shown = document.querySelector("[data-follow]");
  }
}

follow();
