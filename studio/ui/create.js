// The few things of the page that happen in the browser alone: the form waiting until it is filled,
// the shortcuts of Generate and of the three ways to stop, the focus staying on a button whose panel
// is drawn anew, the sentence of a refused form going away when it is mended, the result coming into
// view on a narrow screen, and the page leaving when nobody is signed in any more.

(() => {
  const NARROW = "(max-width: 900px)";
  const generate = () => document.querySelector("button#generate");
  const workbench = () => document.querySelector("#workbench");
  // Its shortcuts belong to Create: elsewhere nobody sees what they would start or stop.
  const isInFront = () => Boolean(workbench()?.offsetParent) && !workbench().inert;

  // The form is drawn before the answer that fills it with what this browser kept. What somebody
  // wrote in between would be taken away again: nobody can until then.
  let isOpened = false;
  const admit = () => { if (workbench()) workbench().inert = !isOpened; };
  const untilOpened = new MutationObserver(admit);
  untilOpened.observe(document.documentElement, { subtree: true, childList: true });
  document.addEventListener("vitrine-opened", () => {
    isOpened = true;
    untilOpened.disconnect();
    admit();
  }, { once: true });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !isInFront()) return;
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

  // Ctrl and the full stop: now. With Shift: when the picture is done. With Alt: skip the picture.
  document.addEventListener("keydown", (event) => {
    if (event.code !== "Period" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    if (!isInFront()) return;
    if (event.getModifierState("AltGraph")) return; // it types a character
    const act = event.altKey ? "skip" : event.shiftKey ? "stop-after" : "stop";
    const job = document.querySelector("#result .v-result")?.dataset.job;
    const button = document.querySelector(`#result [data-act="${act}"]`)
      || (act === "stop" && document.querySelector('#result [data-act="stop-group"]'))
      || document.querySelector(`#progress .v-card[data-job="${job}"] [data-act="${act}"]`);
    if (!button) return;
    event.preventDefault();
    button.click();
  }, true);

  // A panel is drawn anew while its job runs; whoever stands on one of its buttons stays there.
  let held = null;
  const same = ({ panel, act, id, index }) => [...document.querySelectorAll(`#${panel} [data-act]`)]
    .find((button) => button.dataset.act === act && button.dataset.id === id
      && (button.dataset.index || "") === index);
  document.addEventListener("focusin", (event) => {
    const button = event.target.closest?.("[data-act]");
    const panel = button?.closest("#progress, #result, #recent")?.id;
    const { act, id, index } = button?.dataset ?? {};
    held = panel ? { panel, act, id, index: act === "skip" ? index : index || "" } : null;
  });
  document.addEventListener("pointerdown", () => { held = null; }, true);
  new MutationObserver(() => {
    if (!held || document.activeElement !== document.body) return;
    same(held)?.focus({ preventScroll: true });
  }).observe(document.documentElement, { subtree: true, childList: true });

  const edited = (event) => {
    if (!event.target.closest?.("#brief, #sketch")) return;
    document.querySelector("#brief")?.classList.add("v-edited");
  };
  document.addEventListener("input", edited);
  document.addEventListener("pointerup", (event) => {
    if (event.target.closest?.("#sketch canvas")) edited(event);
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("button#generate")) return;
    document.querySelector("#brief")?.classList.remove("v-edited");
    if (!window.matchMedia(NARROW).matches) return;
    const shown = () => Object.values(document.querySelector("#result .v-result")?.dataset ?? {})[0];
    const before = shown();
    const result = document.querySelector("#middle");
    const watch = new MutationObserver(() => {
      if (shown() === before) return;
      watch.disconnect();
      result.scrollIntoView({ block: "start" });
    });
    watch.observe(result, { subtree: true, childList: true, attributes: true });
    setTimeout(() => watch.disconnect(), 3000);
  });

  // A page that only watches does not keep its session alive; somebody who types or points does.
  const MINUTE = 60_000;
  let isUsed = true;
  for (const kind of ["keydown", "pointerdown"]) {
    document.addEventListener(kind, () => { isUsed = true; }, { capture: true, passive: true });
  }
  const check = async () => {
    if (document.hidden) return;
    const method = isUsed ? "POST" : "GET";
    isUsed = false;
    const answer = await fetch("/session", { method }).catch(() => null);
    if (answer?.status === 401) window.location.assign("/sign-in");
  };
  setInterval(check, MINUTE);
  document.addEventListener("visibilitychange", check);
})();
