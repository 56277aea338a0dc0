// Review in the browser: keys press the buttons that bear them, and a case is blurred until asked.
// The picture's looks are made by the server: what was not asked for never arrives here.

(() => {
  const area = () => {
    const found = document.querySelector("#review");
    return found && found.offsetParent !== null ? found : null;
  };
  const isTyping = (target) => target.closest?.("textarea, select, input:not([type=checkbox]), [contenteditable]");

  document.addEventListener("keydown", (event) => {
    const review = area();
    if (!review || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key.toLowerCase();
    if (key === "t") {
      const note = review.querySelector("#case-note");
      if (!note) return;
      event.preventDefault();
      note.focus();
      return;
    }
    const button = [...review.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    if (!button || button.disabled) return;
    event.preventDefault();
    button.click();
  });

  // Grey stays from case to case, since that is a person's wish; the blur comes back with each.
  let isGrey = false;
  const draw = () => {
    const picture = document.querySelector("#case-picture");
    if (!picture) return;
    const plain = document.querySelector('[data-look="plain"]');
    const grey = document.querySelector('[data-look="grey"]');
    const asked = new URLSearchParams();
    if (plain?.getAttribute("aria-pressed") === "true") asked.set("plain", "1");
    if (isGrey) asked.set("grey", "1");
    grey?.setAttribute("aria-pressed", String(isGrey));
    const address = picture.dataset.address + (asked.size ? `?${asked}` : "");
    if (picture.getAttribute("src") !== address) picture.setAttribute("src", address);
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#review-case [data-look]");
    if (!button) return;
    if (button.dataset.look === "grey") isGrey = !isGrey;
    else button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    draw();
  });

  // A case decided by key leaves no button to stand on: the next one begins where the reader was.
  let shown = "";
  new MutationObserver(() => {
    const now = document.querySelector("#review-case [data-review]")?.dataset.review || "";
    if (now === shown) return;
    shown = now;
    draw();
  }).observe(document.documentElement, { subtree: true, childList: true });
})();
