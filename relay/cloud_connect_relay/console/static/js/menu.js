// The areas in a narrow window: behind a button.
const button = document.querySelector("[data-menu]");
const areas = document.getElementById("navigation");

function toggle(open) {
  areas.classList.toggle("open", open);
  button.setAttribute("aria-expanded", String(open));
}

if (button && areas) {
  button.hidden = false;
  button.addEventListener("click", () => toggle(!areas.classList.contains("open")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && areas.classList.contains("open")) {
      toggle(false);
      button.focus();
    }
  });
}
