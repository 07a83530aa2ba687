// Light, dark or the system's choice. Runs before the page is drawn; the choice is a cookie, so
// that the next page comes in the right colours.
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  const words = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const order = ["system", "light", "dark"];
  const chosen = () => root.dataset.theme || "system";

  function show(button) {
    button.hidden = false;
    button.dataset.chosen = chosen();
    button.setAttribute("aria-label", words[chosen()]);
    button.title = words[chosen()];
    const word = button.querySelector("[data-theme-word]");
    if (word) word.textContent = words[chosen()];
  }

  function choose(next) {
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    const age = next === "system" ? 0 : 31536000;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `cloud_connect_theme=${next}; Path=/; Max-Age=${age}; SameSite=Lax${secure}`;
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-theme-toggle]")) {
      show(button);
      button.addEventListener("click", () => {
        choose(order[(order.indexOf(chosen()) + 1) % order.length]);
        show(button);
      });
    }
  });
})();
