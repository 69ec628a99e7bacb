// Sends the forms of an API page as JSON, by the method they name, and shows the page of the response.

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.method) return;
  event.preventDefault();
  const response = await fetch(form.action, {
    method: form.dataset.method,
    headers: {
      "Accept": "text/html",
      "Content-Type": "application/json",
      "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
    },
    body: form.elements.json?.value,
  });
  if (form.dataset.method === "DELETE" && response.ok) return location.assign(new URL("..", form.action));
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  scrollTo(0, 0);
});
