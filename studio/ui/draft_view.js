// A quick draft in the place of the result, while somebody types or draws. What was drawn last
// stays until the new draft is there, so that nothing blinks. Generate, and looking at another
// picture, put it away until something is changed again. Run once, with `element` and `trigger`.

const PAUSE_MS = 200; // after the last key
const TEXTS = ["subject", "material", "color", "scene", "notes"];

const root = document.querySelector("#draft");
let shown = "", waiting = 0, fetching = null;
const isLive = () => document.querySelector("#field-live input")?.checked;
const text = (name) => document.querySelector(`#field-${name} :is(input, textarea)`)?.value ?? "";

const middle = document.querySelector("#middle");
const bring = () => middle.classList.add("v-drafting");
const putAway = () => { clearTimeout(waiting); waiting = 0; middle.classList.remove("v-drafting"); };
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#generate, #recent [data-act], #progress [data-act]")) putAway();
}, true);
document.addEventListener("vitrine-sketched", () => { if (isLive()) bring(); });

// A combo box hands over its text when it loses the focus; a draft does not wait for that.
function ask() {
  clearTimeout(waiting);
  waiting = 0;
  if (!isLive()) { putAway(); return; }
  waiting = setTimeout(() => {
    waiting = 0;
    bring();
    trigger("click", { act: "draft", texts: Object.fromEntries(TEXTS.map((n) => [n, text(n)])) });
  }, PAUSE_MS);
}
// The numbers beside the canvas change a picture only while the sketch is followed.
const isFollowed = () => document.querySelector("#field-follows input")?.checked;
document.addEventListener("input", ({ target }) => {
  const isHeard = target.closest?.("#brief, #field-follows")
    || (target.closest?.("#sketch") && target.type !== "file" && isFollowed());
  if (isHeard) ask();
});
// What is chosen from a list is heard of by the prompt it makes; drawn anew as it was, it says
// nothing, and neither does the prompt of keys whose draft is on its way.
const prompt = document.querySelector("#prompt");
let promised = prompt.textContent;
new MutationObserver(() => {
  if (prompt.textContent === promised) return;
  promised = prompt.textContent;
  if (!waiting) ask();
}).observe(prompt, { subtree: true, childList: true, characterData: true });

async function follow(figure) {
  const job = figure.dataset.job;
  fetching?.abort();
  fetching = new AbortController();
  const isWanted = () => root.querySelector("figure")?.dataset.job === job;
  try {
    let answer;
    do { // 202: not drawn yet, as where many wait
      answer = await fetch(`/drafts/${job}.png`, { signal: fetching.signal });
    } while (answer.status === 202 && isWanted());
    if (answer.status === 409) {
      const note = root.querySelector(`figure[data-job="${job}"] .v-note`);
      if (note) note.textContent = (await answer.json()).error;
    }
    if (answer.status !== 200) return;
    const picture = URL.createObjectURL(await answer.blob());
    if (!isWanted()) return;
    const current = root.querySelector("figure");
    if (shown) URL.revokeObjectURL(shown);
    shown = picture;
    show(current);
    await current.querySelector("img").decode();
    root.dataset.shownJob = job;
    root.dataset.shownAt = performance.now();
  } catch { /* a newer draft took its place */ }
}
function show(figure) {
  const image = figure.querySelector("img");
  if (shown) image.src = shown;
  image.hidden = !shown;
}

// Gradio puts new HTML into the old elements where it can: then only attributes change.
let job = "";
new MutationObserver(() => {
  const figure = root.querySelector("figure");
  if (!figure) { job = ""; return; }
  if (shown && !figure.querySelector("img[src]")) show(figure);
  if (figure.dataset.job && figure.dataset.job !== job) {
    job = figure.dataset.job;
    follow(figure);
  }
}).observe(root, { subtree: true, childList: true, attributeFilter: ["data-job", "src", "hidden"] });

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button) trigger("click", { act: button.dataset.act });
});
