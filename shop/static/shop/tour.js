// Reloads the timeline of an order while it is live. Without JavaScript the page reloads itself.

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function nextTimeline() {
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return response.ok ? page.querySelector("main > div") : null;
}

async function follow() {
  let shown = document.querySelector("[data-live]");
  while (shown) {
    await pause(500);
    const next = await nextTimeline().catch(() => null);
    if (!next) continue;
    if (next.innerHTML !== shown.innerHTML) shown.replaceWith(next);
    else if (!next.hasAttribute("data-live")) shown.removeAttribute("data-live");
    shown = document.querySelector("[data-live]");
  }
}

follow();
