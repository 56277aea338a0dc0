// The gallery in the browser: a grid of thousands of which only the rows in sight exist, the search,
// the selection, one picture opened, two compared. What it shows it asks of /gallery/…; what it says
// stands in the data attributes of the frame that the server drew.

(() => {
  const CHUNK = 60; // pictures asked for at once
  const CELL = 176; // the least width of a cell, in CSS pixels
  const GAP = 8;
  const SPARE_ROWS = 2; // drawn above and below what is in sight
  const TYPING_MS = 150;
  const POLL_MS = 500;
  const SETTLE_MS = 250;
  const SETTLE_TIMES = 20;
  const JUST_NOW_MS = 1000; // what was asked for this long ago is not asked for again

  let frame = null; // the .v-gallery that is bound
  let look = { text: "", collection: "", sku: "", starred: false };
  let chunks = new Map(); // offset / CHUNK → its items, or a promise of them
  let total = 0;
  let top = null;
  let isLoaded = false;
  let columns = 1;
  let focused = 0; // the cell the keyboard is on
  const chosen = new Map(); // id → item, in the order of choosing
  let opened = null; // index of the picture in the lightbox, or null where only its id is known
  let openedId = "";

  const $ = (selector) => frame.querySelector(selector);
  const word = (name, values = {}) => Object.entries(values)
    .reduce((text, [key, value]) => text.replace(`{${key}}`, value), frame.dataset[name] || "");
  const number = (value) => value.toLocaleString(document.documentElement.lang);
  const isInFront = () => Boolean(frame?.isConnected && frame.offsetParent);
  const say = (text) => { $(".v-gallery-says").textContent = text; };

  // Asking.

  const ask = async (path, body) => {
    const options = body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    };
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error(word("lost"));
    }
    const isJson = (answer.headers.get("content-type") || "").includes("json");
    const content = isJson ? await answer.json() : await answer.text();
    if (!answer.ok) throw new Error(word("failed", { error: content.error || answer.status }));
    return content;
  };
  const tell = (error) => say(error.message);

  const query = (more = {}) => {
    const values = { ...look, ...more };
    const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== false && value !== null);
    return new URLSearchParams(kept).toString();
  };

  let turn = 0; // answers to an earlier look are thrown away
  const load = (chunk) => {
    if (chunks.has(chunk)) return chunks.get(chunk);
    const mine = turn;
    const promise = ask(`/gallery/page?${query({ top, offset: chunk * CHUNK, limit: CHUNK })}`)
      .then((page) => {
        if (mine !== turn) return [];
        if (top === null) top = page.top;
        total = page.total;
        isLoaded = true;
        chunks.set(chunk, page.items);
        measure();
        draw();
        return page.items;
      })
      .catch((error) => {
        if (mine === turn) chunks.delete(chunk);
        tell(error);
        return [];
      });
    chunks.set(chunk, promise);
    return promise;
  };

  const itemAt = (index) => {
    const items = chunks.get(Math.floor(index / CHUNK));
    return Array.isArray(items) ? items[index % CHUNK] : undefined;
  };

  const refresh = async () => {
    turn += 1;
    chunks = new Map();
    top = null;
    await Promise.all([load(0), names()]);
  };

  const names = async () => {
    const { collections, skus } = await ask("/gallery/names").catch((error) => { tell(error); return {}; });
    if (!collections) return;
    fill($('[name="collection"]'), word("everyCollection"), collections, look.collection);
    fill($('[name="sku"]'), word("everySku"), skus, look.sku);
    $("#v-collections").replaceChildren(...collections.map(([name]) => new Option(name, name)));
  };
  const fill = (select, every, rows, value) => {
    const options = rows.map(([name, num]) => new Option(`${name} (${number(num)})`, name));
    select.replaceChildren(new Option(every, ""), ...options);
    select.value = value;
    select.hidden = rows.length === 0;
  };

  // Drawing.

  const measure = () => {
    const space = $(".v-grid-space");
    const width = space.clientWidth;
    if (!width) return;
    const least = width < 520 ? 104 : CELL;
    columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    space.style.setProperty("--columns", columns);
    const side = (width - (columns - 1) * GAP) / columns;
    space.dataset.row = side + GAP;
    space.style.height = `${Math.ceil(total / columns) * (side + GAP)}px`;
    const isSearched = Boolean(look.text || look.collection || look.sku || look.starred);
    $(".v-gallery-empty").hidden = !isLoaded || total > 0 || isSearched;
    $(".v-gallery-none").hidden = !isLoaded || total > 0 || !isSearched;
    $(".v-gallery-bar").hidden = isLoaded && total === 0 && !isSearched;
    $(".v-gallery-total").textContent = total === 1 ? word("picture") : word("pictures", { number: number(total) });
    const items = loaded();
    $(".v-gallery-examples").hidden = isSearched || items.length < total || !items.every((item) => item.example) || !total;
    $('[data-do="zip-all"]').href = `/gallery/pictures.zip?${query()}`;
  };

  const draw = () => {
    if (!isInFront()) return;
    const space = $(".v-grid-space");
    const row = Number(space.dataset.row);
    if (!row) return;
    const above = -space.getBoundingClientRect().top;
    const firstRow = Math.max(0, Math.floor(above / row) - SPARE_ROWS);
    const lastRow = Math.ceil((above + innerHeight) / row) + SPARE_ROWS;
    const first = Math.min(firstRow * columns, Math.max(0, total - 1));
    const last = Math.min(total, lastRow * columns);
    for (let chunk = Math.floor(first / CHUNK); chunk * CHUNK < Math.max(last, 1); chunk += 1) load(chunk);
    const grid = $(".v-grid");
    grid.style.transform = `translateY(${Math.floor(first / columns) * row}px)`;
    const present = new Map([...grid.children].map((cell) => [cell.dataset.key, cell]));
    const cells = [];
    for (let index = first; index < last; index += 1) {
      const item = itemAt(index);
      const key = `${index}:${item?.id ?? ""}`;
      const cell = present.get(key) || cellOf(item, index, key);
      dress(cell, item, index);
      cells.push(cell);
    }
    const focus = document.activeElement?.closest?.(".v-cell")?.dataset.key;
    if (cells.length !== grid.children.length || cells.some((cell, at) => grid.children[at] !== cell)) {
      grid.replaceChildren(...cells);
      if (focus) grid.querySelector(`[data-key="${CSS.escape(focus)}"] .v-cell-open`)?.focus({ preventScroll: true });
    }
  };

  const cellOf = (item, index, key) => {
    const cell = document.createElement("li");
    cell.className = "v-cell";
    cell.dataset.key = key;
    cell.dataset.index = index;
    cell.setAttribute("aria-setsize", total);
    cell.setAttribute("aria-posinset", index + 1);
    if (!item) return cell;
    cell.dataset.id = item.id;
    const open = document.createElement("button");
    open.type = "button";
    open.className = "v-cell-open";
    const image = new Image(item.width, item.height);
    image.alt = "";
    image.loading = "lazy";
    image.decoding = "async";
    image.src = `/thumbs/${item.id}.webp`;
    open.append(image);
    const label = document.createElement("label");
    label.className = "v-cell-choose";
    const box = document.createElement("input");
    box.type = "checkbox";
    box.tabIndex = -1;
    label.append(box);
    const marks = document.createElement("span");
    marks.className = "v-cell-marks";
    cell.append(open, label, marks);
    return cell;
  };

  const dress = (cell, item, index) => {
    if (!item) return;
    const [open, label, marks] = cell.children;
    const title = `${item.title || item.id}, ${item.seed}`;
    open.setAttribute("aria-label", word("open", { title }));
    open.title = title;
    open.tabIndex = index === focused ? 0 : -1;
    label.firstChild.checked = chosen.has(item.id);
    label.firstChild.setAttribute("aria-label", word("choose", { title }));
    const shown = [item.example ? word("example") : "", item.starred ? "★" : ""].filter(Boolean);
    marks.replaceChildren(...shown.map((text) => Object.assign(document.createElement("span"), { className: "v-mark", textContent: text })));
  };

  // Selection and what is done with it.

  const showChosen = () => {
    $(".v-chosen-bar").hidden = chosen.size === 0;
    $(".v-num-chosen").textContent = word("chosen", { number: number(chosen.size) });
    $('[data-do="compare"]').disabled = chosen.size !== 2;
    const ids = [...chosen.keys()].join(",");
    $('[data-do="zip"]').href = `/gallery/pictures.zip?${new URLSearchParams({ ids })}`;
    draw();
  };
  const choose = (item) => {
    if (!item) return;
    if (!chosen.delete(item.id)) chosen.set(item.id, item);
    showChosen();
  };
  const loaded = () => [...chunks.values()].filter(Array.isArray).flat();
  const star = async (items) => {
    const value = !items.every((item) => item.starred);
    await ask("/gallery/star", { ids: items.map((item) => item.id), value });
    for (const item of [...items, ...loaded().filter((one) => items.some((other) => other.id === one.id))]) item.starred = value;
    draw();
    return value;
  };
  const remove = async (items) => {
    const dialog = $(".v-delete");
    const asked = items.length === 1 ? word("deleteOneAsk") : word("deleteAsk", { number: number(items.length) });
    $(".v-delete-ask").textContent = asked;
    if (await answerOf(dialog) !== "delete") return false;
    const ids = items.map((item) => item.id);
    await ask("/gallery/delete", { ids });
    for (const id of ids) chosen.delete(id);
    showChosen();
    await refresh();
    return true;
  };
  const move = async (items) => {
    const dialog = $(".v-move");
    dialog.querySelector("input").value = items[0].collection;
    if (await answerOf(dialog) !== "save") return;
    const value = dialog.querySelector("input").value;
    await ask("/gallery/move", { ids: items.map((item) => item.id), value });
    await refresh();
  };
  const answerOf = (dialog) => new Promise((resolve) => {
    dialog.settle?.(); // its last "close" may still be on its way, which is no answer to this question
    const closed = () => { if (!dialog.open) dialog.settle(); };
    dialog.settle = () => {
      dialog.removeEventListener("close", closed);
      dialog.settle = null;
      resolve(dialog.returnValue);
    };
    dialog.returnValue = "";
    dialog.addEventListener("close", closed);
    dialog.showModal();
  });
  const compare = (first, second) => {
    const dialog = $(".v-compare");
    for (const [kind, item] of [["first", first], ["second", second]]) {
      dialog.querySelector(`img.v-${kind}`).src = `/pictures/${item.id}.png`;
      dialog.querySelector(`img.v-${kind}`).alt = item.title;
      dialog.querySelector(`.v-${kind}-name`).textContent = `${item.title}, ${item.seed}`;
    }
    slide(50);
    dialog.showModal();
    dialog.querySelector("input").focus();
  };
  const slide = (percent) => {
    $(".v-compare input").value = percent;
    $(".v-compare-stage").style.setProperty("--shown", `${percent}%`);
  };

  // One picture.

  const open = async (id, index) => {
    try {
      const html = await ask(`/gallery/details/${encodeURIComponent(id)}`);
      [opened, openedId] = [index, id];
      $(".v-details").innerHTML = html; // ours, and escaped there
      const dialog = $(".v-lightbox");
      if (!dialog.open) dialog.showModal();
      $('[data-do="previous"]').disabled = !(index > 0);
      $('[data-do="next"]').disabled = index === null || index >= total - 1;
      history.replaceState(null, "", `#gallery/${id}`);
    } catch (error) {
      tell(error);
    }
  };
  const step = async (by) => {
    const index = opened === null ? -1 : opened + by;
    if (index < 0 || index >= total) return;
    await load(Math.floor(index / CHUNK));
    const item = itemAt(index);
    if (!item) return;
    focused = index;
    await open(item.id, index);
  };
  const openedItem = () => loaded().find((item) => item.id === openedId) || { id: openedId, starred: $('[data-do="star-one"]').getAttribute("aria-pressed") === "true" };
  const start = () => {
    const item = openedItem();
    const job = item.job ?? item.id.slice(0, 16); // of one opened by its address only the id is known
    const form = document.querySelector("#result .v-result, #result .v-mat")?.parentElement;
    $(".v-lightbox").close();
    location.hash = "#create";
    if (form) window.vitrine.press(form, "edit-brief", job, parseInt(item.id.slice(16), 16));
  };
  const reproduce = async () => {
    const id = openedId;
    const note = $(".v-reproduced");
    note.textContent = word("reproducing");
    try {
      const { job } = await ask(`/gallery/reproduce/${id}`, {});
      let answer = { outcome: "drawing" };
      while (answer.outcome === "drawing") {
        await new Promise((resolve) => { setTimeout(resolve, POLL_MS); });
        answer = await ask(`/gallery/reproduce/${id}?${new URLSearchParams({ job })}`);
      }
      const said = { same: "reproduced", different: "different" }[answer.outcome];
      note.textContent = said ? word(said) : word("failed", { error: answer.error });
      if (answer.outcome === "different") refresh();
    } catch (error) {
      note.textContent = error.message;
    }
  };

  const report = async () => {
    const id = openedId;
    await ask(`/pictures/${id}/report`, {});
    $(".v-lightbox").close();
    chosen.delete(id);
    showChosen();
    await refresh();
    say(word("reported"));
  };

  const acts = {
    star: () => star([...chosen.values()]),
    move: () => move([...chosen.values()]),
    delete: () => remove([...chosen.values()]),
    compare: () => compare(...chosen.values()),
    clear: () => { chosen.clear(); showChosen(); },
    previous: () => step(-1),
    next: () => step(1),
    start,
    reproduce,
    "star-one": async () => { await star([openedItem()]); await open(openedId, opened); },
    "report-one": report,
    "delete-one": async () => { if (await remove([openedItem()])) $(".v-lightbox").close(); },
  };

  // Binding to the frame the server drew; it is drawn anew when the language is switched.

  let boundAt = 0;
  let space = null; // where the bound frame draws: Gradio may keep the frame and draw its inside anew
  let bound = new AbortController();
  const bind = (element) => {
    bound.abort();
    bound = new AbortController();
    const { signal } = bound;
    frame = element;
    space = $(".v-grid-space");
    boundAt = performance.now();
    frame.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      const act = button && acts[button.dataset.do];
      if (act) Promise.resolve(act()).catch(tell);
      const cell = event.target.closest(".v-cell");
      if (cell?.dataset.id && event.target.closest(".v-cell-open")) {
        focused = Number(cell.dataset.index);
        open(cell.dataset.id, focused);
      }
    }, { signal });
    frame.addEventListener("change", (event) => {
      const cell = event.target.closest(".v-cell");
      if (cell) choose(itemAt(Number(cell.dataset.index)));
      if (event.target.closest(".v-gallery-bar")) search();
    }, { signal });
    let typing = 0;
    $(".v-search").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(search, TYPING_MS);
    });
    frame.addEventListener("submit", (event) => {
      if (event.target.matches(".v-gallery-bar")) { event.preventDefault(); search(); }
      if (event.target.matches(".v-place")) { event.preventDefault(); place(event.target).catch(tell); }
    }, { signal });
    $(".v-compare input").addEventListener("input", (event) => slide(event.target.value));
    const stage = $(".v-compare-stage");
    const drag = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const { left, width } = stage.getBoundingClientRect();
      slide(Math.round(Math.min(1, Math.max(0, (event.clientX - left) / width)) * 100));
    };
    stage.addEventListener("pointerdown", drag);
    stage.addEventListener("pointermove", drag);
    $(".v-lightbox").addEventListener("close", () => {
      if (location.hash.startsWith("#gallery/")) history.replaceState(null, "", "#gallery");
      cellAt(focused)?.focus();
    });
    new ResizeObserver(() => { measure(); draw(); }).observe(space);
    const bar = $(".v-gallery-bar");
    for (const name of ["text", "collection", "sku"]) bar.elements[name].value = look[name];
    bar.elements.starred.checked = look.starred;
    showChosen();
    refresh().then(openAddressed);
    setTimeout(settle, SETTLE_MS, SETTLE_TIMES);
  };
  // An area may come to the front, or be drawn anew, while the first answer is on its way: look
  // again until what is on the page is bound and has been measured.
  const settle = (left) => {
    const element = document.querySelector("#gallery .v-gallery");
    const inside = element?.querySelector(".v-grid-space");
    if (inside && inside !== space) return bind(element);
    if (inside && isInFront() && !inside.dataset.row) {
      measure();
      draw();
    }
    if (left > 0 && !inside?.dataset.row) setTimeout(settle, SETTLE_MS, left - 1);
  };

  const search = () => {
    const bar = $(".v-gallery-bar").elements;
    const next = { text: bar.text.value.trim(), collection: bar.collection.value, sku: bar.sku.value, starred: bar.starred.checked };
    if (JSON.stringify(next) === JSON.stringify(look)) return;
    look = next;
    focused = 0;
    say("");
    refresh();
  };
  const place = async (form) => {
    const ids = [openedId];
    await ask("/gallery/move", { ids, value: form.elements.collection.value });
    await ask("/gallery/label", { ids, value: form.elements.sku.value });
    await refresh();
  };
  const openAddressed = () => {
    const id = location.hash.match(/^#gallery\/([0-9a-f]+)$/)?.[1];
    if (!id || $(".v-lightbox").open) return;
    const at = loaded().findIndex((item) => item.id === id);
    open(id, at < 0 ? null : at);
  };

  // The keyboard: arrows among the pictures, single letters for acts.

  const cellAt = (index) => $(`.v-cell[data-index="${index}"] .v-cell-open`);
  const go = async (index) => {
    focused = Math.min(total - 1, Math.max(0, index));
    const row = Number($(".v-grid-space").dataset.row);
    const at = $(".v-grid-space").getBoundingClientRect().top + Math.floor(focused / columns) * row;
    if (at < 64) scrollBy(0, at - 64);
    else if (at + row > innerHeight) scrollBy(0, at + row - innerHeight);
    await load(Math.floor(focused / CHUNK));
    draw();
    cellAt(focused)?.focus({ preventScroll: true });
  };
  document.addEventListener("keydown", (event) => {
    if (!isInFront() || event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.closest?.("textarea, select") || target.matches?.('input:not([type="checkbox"])')) return;
    const isOpen = $(".v-lightbox").open;
    if (frame.querySelector("dialog[open]:not(.v-lightbox)")) return;
    const cell = target.closest?.(".v-cell");
    const item = isOpen ? openedItem() : cell && itemAt(Number(cell.dataset.index));
    const keys = {
      "/": () => !isOpen && ($(".v-search").focus(), true),
      n: () => isOpen && (step(1), true),
      p: () => isOpen && (step(-1), true),
      ArrowRight: () => (isOpen ? step(1) : cell && go(focused + 1)),
      ArrowLeft: () => (isOpen ? step(-1) : cell && go(focused - 1)),
      ArrowDown: () => !isOpen && cell && go(focused + columns),
      ArrowUp: () => !isOpen && cell && go(focused - columns),
      Home: () => !isOpen && cell && go(0),
      End: () => !isOpen && cell && go(total - 1),
      x: () => item && !isOpen && (choose(item), true),
      s: () => item && (isOpen ? acts["star-one"]() : star([item])),
      c: () => chosen.size === 2 && (compare(...chosen.values()), true),
      Delete: () => item && (isOpen ? acts["delete-one"]() : remove([item])),
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const done = keys[key]?.();
    if (!done) return;
    event.preventDefault();
    Promise.resolve(done).catch(tell);
  });

  addEventListener("scroll", () => { if (isInFront()) requestAnimationFrame(draw); }, { passive: true });
  addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#gallery") || !frame?.isConnected) return;
    // Once the area is in front: what was drawn meanwhile is there now.
    requestAnimationFrame(() => requestAnimationFrame(() => {
      if (performance.now() - boundAt > JUST_NOW_MS) refresh().then(openAddressed);
    }));
  });
  new MutationObserver(() => {
    const element = document.querySelector("#gallery .v-gallery");
    const inside = element?.querySelector(".v-grid-space");
    if (inside && inside !== space) bind(element);
  }).observe(document.documentElement, { subtree: true, childList: true });
})();
