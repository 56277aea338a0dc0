// The few things of the page that happen in the browser alone: the shortcut of Generate, the
// sentence of a refused form going away when it is mended, and the result coming into view on a
// narrow screen.

(() => {
  const NARROW = "(max-width: 900px)";
  const generate = () => document.querySelector("button#generate");

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const button = generate();
    if (!button || button.disabled) return;
    event.preventDefault();
    event.stopPropagation();
    // A combo box hands over what was typed when it loses the focus: let it, then press.
    const field = document.activeElement;
    field?.blur();
    setTimeout(() => {
      button.click();
      field?.focus?.({ preventScroll: true });
    }, 60);
  }, true);

  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("#brief");
    form?.classList.add("v-edited");
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("button#generate")) return;
    document.querySelector("#brief")?.classList.remove("v-edited");
    if (!window.matchMedia(NARROW).matches) return;
    const before = document.querySelector("#result .v-result")?.dataset.job;
    const result = document.querySelector("#middle");
    const watch = new MutationObserver(() => {
      if (document.querySelector("#result .v-result")?.dataset.job === before) return;
      watch.disconnect();
      result.scrollIntoView({ block: "start" });
    });
    watch.observe(result, { subtree: true, childList: true, attributes: true });
    setTimeout(() => watch.disconnect(), 3000);
  });
})();
