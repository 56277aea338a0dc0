// The canvas: a pen that is in the hand already, an eraser, a picture dropped onto it. Whatever
// stands on it after a stroke is handed to the studio, which keeps it and names it by its digest;
// the canvas itself is never drawn anew by the page, so strokes survive whatever happens there.
// Run once, with `element` (the pad) and `trigger` (tells the studio).

const LONG_SIDE = 768;
const MAX_UNDO = 24;
const MAX_BYTES = 20 * 1024 * 1024;
const KEPT = "vitrine-sketch";
const STROKE_MS = 40; // after a stroke, for the one that follows at once

const canvas = element.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const overlay = element.querySelector(".v-outlines");
const hint = element.querySelector(".v-pad-hint");
const message = element.querySelector(".v-pad-message");
const picker = element.querySelector("input[type=file]");
const tool = (name) => element.querySelector(`[data-tool="${name}"]`);
const facts = () => document.querySelector("#sketch-facts [data-height]");

let digest = "", isBlank = true, isErasing = false, penWidth = 6;
let past = [], future = [], last = null, waiting = 0;
let origin = null; // what the canvas was filled with, while nothing was drawn on it since
let turn = 0, handed = 0; // strokes drawn, strokes the studio has
let known = ""; // the sketch of which the page has told that it knows it

const say = (text) => { message.textContent = text; message.hidden = !text; };
// A message of this script's own, in both languages, of which the page shows the one it speaks.
const tell = (name, number = "") => {
  message.innerHTML = element.querySelector(`[data-says="${name}"]`).innerHTML.replaceAll("{number}", number);
  message.hidden = false;
};
class Untold extends Error {} // its message is the name of one of those
const complain = (error) => (error instanceof Untold ? tell(error.message) : say(error.message));
const paper = () => { context.fillStyle = "#ffffff"; context.fillRect(0, 0, canvas.width, canvas.height); };
const copy = () => {
  const kept = document.createElement("canvas");
  kept.width = canvas.width; kept.height = canvas.height;
  kept.getContext("2d").drawImage(canvas, 0, 0);
  return kept;
};
const fit = (source) => {
  const scale = Math.min(canvas.width / source.width, canvas.height / source.height);
  const width = source.width * scale, height = source.height * scale;
  context.drawImage(source, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
};
const remember = () => {
  past.push(copy()); past = past.slice(-MAX_UNDO); future = []; origin = null;
};
const show = () => {
  hint.hidden = !isBlank;
  tool("undo").disabled = !past.length;
  tool("redo").disabled = !future.length;
  tool("clear").disabled = isBlank;
  tool("outlines").disabled = isBlank || !digest;
  outlines();
};

// Canny's view of what is on the canvas, in the size the model will be shown.
function outlines() {
  const isShown = tool("outlines").getAttribute("aria-pressed") === "true" && digest && !isBlank;
  overlay.hidden = !isShown;
  if (!isShown) return;
  const { height, width, ...known } = facts().dataset;
  const of = (name) => document.querySelector(`#field-canny_${name} input[type=number]`)?.value
    ?? known[name];
  const query = new URLSearchParams({ height, width, low: of("low"), high: of("high") });
  const address = `/sketches/${digest}/outlines.png?${query}`;
  if (overlay.getAttribute("src") !== address) overlay.src = address;
}

async function send(body) {
  const answer = await fetch("/sketches", { method: "POST", body })
    .catch(() => { throw new Untold("lost"); });
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  throw said.error ? new Error(said.error) : new Untold("refused");
}

// After the last stroke for a moment: hand over what is on the canvas, and tell of it.
function changed() {
  say("");
  reopened = "";
  isBlank = false;
  isDirty = true;
  show();
  clearTimeout(waiting);
  turn += 1;
  waiting = setTimeout(handOver, STROKE_MS);
}
async function handOver() {
  const mine = turn;
  try {
    const said = await new Promise((done) => canvas.toBlob(done, "image/png")).then(send);
    if (mine !== turn) return; // drawn on meanwhile
    digest = said.sketch;
    isBlank = said.is_blank;
    keep(isBlank ? "" : digest);
    trigger("click", { act: "sketch", id: isBlank ? "" : digest });
    document.dispatchEvent(new CustomEvent("vitrine-sketched"));
    handed = mine;
  } catch (error) {
    handed = mine;
    isDirty = false;
    complain(error);
  }
  show();
}
// Generate, pressed right after a stroke, waits until the studio has the stroke.
let isDirty = false;
const isPending = () => isDirty && facts()?.dataset.digest !== (isBlank ? "" : digest);
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button#generate");
  if (!button || !isDirty) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const until = performance.now() + 5000;
  const look = setInterval(() => {
    if (turn !== handed && performance.now() < until) return;
    if (isPending() && performance.now() < until) return;
    clearInterval(look);
    isDirty = false;
    button.click();
  }, 30);
}, true);
function keep(name) {
  try { localStorage.setItem(KEPT, name); } catch { /* private browsing: the server has it */ }
}

async function open(name, isLate = () => false) {
  const picture = await createImageBitmap(await (await fetch(`/sketches/${name}.png`)).blob());
  if (isLate()) return false;
  paper();
  fit(picture);
  origin = picture;
  return true;
}

async function take(file) {
  if (!file) return;
  if (file.size > MAX_BYTES) {
    tell("large", Math.round(file.size / 1048576));
    return;
  }
  // The studio looks at it first: this browser never decodes what may be too large for it.
  try {
    const said = await send(file);
    remember();
    await open(said.sketch).catch(() => { throw new Untold("refused"); });
    changed();
  } catch (error) {
    complain(error);
  }
}

// A sketch of an earlier job, to be drawn on. A stroke that is still on its way to the studio comes
// too late, and Generate waits until the sketch is there.
let opened = "", isOpening = false; // while it is, what is on the canvas is told to nobody
let reopened = ""; // the sketch, while nothing was drawn on it since
function reopen(name) {
  remember();
  isOpening = isDirty = true;
  clearTimeout(waiting);
  turn += 1;
  const mine = turn;
  open(name).then(() => { digest = reopened = name; isBlank = false; keep(name); say(""); })
    .catch(() => tell("gone"))
    .finally(() => {
      isOpening = false;
      if (turn === mine) handed = mine;
      show();
      remind();
    });
}

// The canvas has the shape of the picture that is asked for; what is on it is kept. It is fitted
// from what there was at first: from one shape to the next it would get smaller and smaller.
function reshape() {
  const { height, width } = facts()?.dataset ?? {};
  if (!height) return;
  const scale = LONG_SIDE / Math.max(height, width);
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  element.classList.toggle("v-off", facts().dataset.can !== "1");
  const wanted = facts().dataset.opens;
  if (wanted && wanted !== opened) reopen(wanted);
  opened = wanted;
  remind();
  if (w !== canvas.width || h !== canvas.height) {
    const before = origin ?? copy();
    canvas.width = w; canvas.height = h;
    paper();
    if (!isBlank) {
      fit(before);
      origin = before;
      if (!isOpening) changed();
    }
  }
  outlines();
}

// What a tab has told is forgotten an hour after its machine slept, and when the studio is started
// anew; the canvas is not. And a stroke from before a sketch was put there may be told of after it.
function remind() {
  const now = facts().dataset.digest;
  if (now && reopened && now !== reopened && turn === handed) {
    trigger("click", { act: "sketch", id: reopened });
  }
  if (now) known = now;
  else if (known && known === digest && !isBlank && turn === handed) {
    known = "";
    trigger("click", { act: "sketch-again", id: digest });
  }
}

function line(from, to) {
  context.strokeStyle = isErasing ? "#ffffff" : "#15171a";
  context.lineWidth = (isErasing ? 5 : 1) * penWidth;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
}
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) * canvas.width / box.width,
    y: (event.clientY - box.top) * canvas.height / box.height,
  };
};
const isOff = () => element.classList.contains("v-off");

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || isOff()) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  tool("outlines").setAttribute("aria-pressed", "false");
  clearTimeout(waiting);
  remember();
  last = place(event);
  line(last, last);
  hint.hidden = true;
  overlay.hidden = true;
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) {
    const next = place(each);
    line(last, next);
    last = next;
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => { if (last) { last = null; changed(); } });
}

// By keyboard: the arrows move the pen, the space bar sets it down and lifts it.
let pen = null, isDown = false;
const cursor = element.querySelector(".v-pad-cursor");
canvas.addEventListener("keydown", (event) => {
  const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[event.key];
  if (isOff() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!way && event.key !== " ") return;
  event.preventDefault();
  pen ??= { x: canvas.width / 2, y: canvas.height / 2 };
  if (event.key === " ") {
    isDown = !isDown;
    if (isDown) remember(); else changed();
  } else {
    const step = event.shiftKey ? 48 : 12;
    const next = {
      x: Math.min(canvas.width, Math.max(0, pen.x + way[0] * step)),
      y: Math.min(canvas.height, Math.max(0, pen.y + way[1] * step)),
    };
    if (isDown) line(pen, next);
    pen = next;
  }
  cursor.hidden = false;
  cursor.classList.toggle("v-down", isDown);
  cursor.style.left = `${100 * pen.x / canvas.width}%`;
  cursor.style.top = `${100 * pen.y / canvas.height}%`;
});
canvas.addEventListener("blur", () => {
  cursor.hidden = true;
  if (isDown) { isDown = false; changed(); }
});

const back = (from, to) => {
  const kept = from.pop();
  if (!kept) return;
  to.push(copy());
  paper();
  fit(kept);
  origin = null;
  changed();
};
const press = {
  pen: () => { isErasing = false; },
  eraser: () => { isErasing = true; },
  undo: () => back(past, future),
  redo: () => back(future, past),
  clear: () => { remember(); paper(); changed(); },
  picture: () => picker.click(),
  outlines: () => {
    const button = tool("outlines");
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  },
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool]");
  if (!button || button.disabled || isOff()) return;
  press[button.dataset.tool]();
  tool("pen").setAttribute("aria-pressed", !isErasing);
  tool("eraser").setAttribute("aria-pressed", isErasing);
  show();
});
element.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
  event.preventDefault();
  (event.shiftKey ? press.redo : press.undo)();
});
picker.addEventListener("change", () => { take(picker.files[0]); picker.value = ""; });

const stage = element.querySelector(".v-pad-stage");
for (const name of ["dragenter", "dragover"]) {
  stage.addEventListener(name, (event) => { event.preventDefault(); stage.classList.add("v-over-pad"); });
}
for (const name of ["dragleave", "drop"]) {
  stage.addEventListener(name, () => stage.classList.remove("v-over-pad"));
}
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!isOff()) take(event.dataTransfer.files[0]);
});

document.addEventListener("input", (event) => {
  if (event.target.closest?.("#field-canny_low, #field-canny_high")) setTimeout(outlines, 50);
});
new MutationObserver(reshape).observe(document.querySelector("#sketch-facts"), {
  subtree: true, childList: true, attributes: true,
});

paper();
reshape();
const kept = (() => { try { return localStorage.getItem(KEPT); } catch { return ""; } })();
if (kept) {
  const isDrawnOn = () => Boolean(last || turn || past.length);
  open(kept, isDrawnOn)
    .then((isOpen) => { if (isOpen) { digest = kept; isBlank = false; } })
    .catch(() => keep("")).finally(show);
}
show();
