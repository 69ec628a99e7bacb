// Reloads the timeline of an order while it is live. Without JavaScript the page reloads itself.

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function follow() {
  let shown = document.querySelector("[data-live]");
  while (shown) {
    await pause(500);
    const response = await fetch(location.href).catch(() => null);
    if (!response || !response.ok) continue;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const next = page.querySelector("main > div");
    if (next.innerHTML !== shown.innerHTML) shown.replaceWith(next);
    else if (!next.hasAttribute("data-live")) shown.removeAttribute("data-live");
    shown = document.querySelector("[data-live]");
  }
}

follow();
