// Shows the API's description by Swagger UI, whose requests carry the CSRF token of the page.

const { schema, csrfHeader, csrfToken } = document.getElementById("swagger-ui").dataset;

SwaggerUIBundle({
  url: schema,
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  // Swagger UI would send the description to a validator elsewhere.
  validatorUrl: null,
  requestInterceptor(request) {
    const isUnsafe = request.method && request.method !== "GET";
    if (isUnsafe && new URL(request.url, location.href).origin === location.origin) {
      request.headers[csrfHeader] = csrfToken;
    }
    return request;
  },
});
