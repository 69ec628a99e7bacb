// Sends the forms of an API page as the JSON they hold, by the method they name, and shows the page that is answered.

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.method) return;
  event.preventDefault();
  const answer = await fetch(form.action, {
    method: form.dataset.method,
    headers: {
      "Accept": "text/html",
      "Content-Type": "application/json",
      "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
    },
    body: form.elements.json?.value,
  });
  if (form.dataset.method === "DELETE" && answer.ok) return location.assign(new URL("..", form.action));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  scrollTo(0, 0);
});
