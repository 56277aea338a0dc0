// The shell in the browser: which area is in front (the part of the address after #), the language
// of this tab, the title of the tab, and the list of shortcuts behind "?".

(() => {
  const COOKIE = "vitrine-language";

  // A press of a button that is not there: how this script calls the server.
  const press = (panel, act, id = "", index = 0) => {
    const button = Object.assign(document.createElement("button"), { hidden: true });
    Object.assign(button.dataset, { act, id, index });
    panel.append(button);
    button.click();
    button.remove();
  };

  window.vitrine = Object.freeze({ press });

  // Language: the one switched to, else the first of the browser's that the page speaks.
  const kept = document.cookie.match(`(?:^|; )${COOKIE}=(en|zh)`)?.[1];
  const spoken = kept || (navigator.languages || [navigator.language])
    .map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag === "en" || tag === "zh") || "en";
  const tagOf = { en: "en", zh: "zh-CN" };
  document.documentElement.lang = tagOf[spoken];

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.('#tools [data-act="speak"]');
    if (!button) return; // the panel's own event follows, and finds the cookie set
    document.cookie = `${COOKIE}=${button.dataset.id}; path=/; max-age=31536000; samesite=lax`;
    document.documentElement.lang = button.dataset.tag;
  }, true);

  // Gradio knows the browser's first language only, and Chinese by one name: where the person's is
  // another, everything is said once more, by a press of a switch that is not there.
  const first = navigator.language || "en";
  let isSpoken = first === tagOf[spoken] || (spoken === "en" && !first.startsWith("zh"));
  const speakOnce = () => {
    const tools = document.querySelector("#tools .v-tool")?.parentElement;
    if (isSpoken || !tools) return;
    isSpoken = true;
    press(tools, "say-again");
  };

  // Areas.
  const links = () => [...document.querySelectorAll("#nav [data-area]")];
  const wanted = () => decodeURIComponent(location.hash.slice(1)).split("/")[0];
  const inFront = () => document.querySelector('#areas > .tab-wrapper [role="tab"][aria-selected="true"]');

  const tabOf = (area) => document.querySelector(`#areas > .tab-wrapper [data-tab-id="${CSS.escape(area)}"]`);

  const show = () => {
    const open = links().map((link) => link.dataset.area);
    const area = !open.length || open.includes(wanted()) ? wanted() : open[0];
    const tab = area ? tabOf(area) : open.length && tabOf(open[0]);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
    mark(tab ? tab.dataset.tabId : inFront()?.dataset.tabId);
  };

  let front = "";
  const mark = (area) => {
    front = area;
    for (const link of links()) {
      if (link.dataset.area === area) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    entitle();
  };

  // The title of the tab: how far the newest job is, the area, the name.
  const entitle = () => {
    const name = links().find((link) => link.dataset.area === front)?.firstChild?.textContent.trim();
    const progress = document.querySelector("#status [data-title]")?.dataset.title;
    const title = [progress, name, "Vitrine"].filter(Boolean).join(" · ");
    if (document.title !== title) document.title = title;
  };

  addEventListener("hashchange", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // the page has a <base>, which an address of its own would go by
    const hash = link.getAttribute("href");
    if (location.hash === hash) show();
    else location.hash = hash;
  });

  // Gradio draws the header some time after this script has run, and anew when it changes.
  let drawn = null;
  let nav = null;
  new MutationObserver(() => {
    const areas = document.querySelector("#areas > .tab-wrapper [data-tab-id]")?.closest("#areas");
    const header = document.querySelector("#header");
    if (!areas || !header) return;
    const newNav = document.querySelector("#nav nav");
    if (areas !== drawn || newNav !== nav) {
      [drawn, nav] = [areas, newNav];
      areas.setAttribute("role", "main");
      header.setAttribute("role", "banner");
      show();
    }
    // A new count may leave the old links out of it, or draw all of them anew.
    const isMarked = (link) => link.getAttribute("aria-current") === "page";
    if (front && links().some((link) => isMarked(link) !== (link.dataset.area === front))) mark(front);
    entitle();
    speakOnce();
  }).observe(document.documentElement, { subtree: true, childList: true });

  // The header looks every second or two, and soon after anything was pressed.
  const SOON_MS = 200;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    const status = document.querySelector("#status .v-status")?.parentElement;
    if (!button || !status || button.closest("#header")) return;
    setTimeout(() => press(status, "look"), SOON_MS);
  });

  // Shortcuts.
  const isTyping = (target) => target.closest?.("input, textarea, select, [contenteditable]");
  const openShortcuts = () => {
    const dialog = document.querySelector("#shortcuts-dialog");
    if (dialog && !dialog.open) dialog.showModal();
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "?" && !isTyping(event.target)) {
      event.preventDefault();
      openShortcuts();
    }
    const place = event.code.match(/^Digit([1-9])$/)?.[1];
    if (place && event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      const link = links()[Number(place) - 1];
      if (!link) return;
      event.preventDefault();
      link.focus(); // Tab goes on from here into the area
      link.click();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-shortcuts]")) openShortcuts();
    if (event.target.id === "shortcuts-dialog") event.target.close(); // beside it
  });
})();
