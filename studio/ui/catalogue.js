// Catalogue in the browser: a table that is dropped or chosen goes to the API, and the page then
// looks at the batch it has become; or says why it was refused.

(() => {
  const at = (id) => document.getElementById(id);

  const open = (id) => {
    const panel = document.querySelector("#catalogue-tables .v-heading")?.parentElement;
    if (!panel) return;
    const button = Object.assign(document.createElement("button"), { hidden: true });
    button.dataset.act = "open";
    button.dataset.id = id;
    panel.append(button);
    button.click();
    button.remove();
  };

  const say = (sentence) => {
    const message = at("catalogue-message");
    message.textContent = sentence;
    message.hidden = !sentence;
  };

  // What this script says itself, in both languages, of which the page shows the one it speaks.
  const MIB = 2 ** 20;
  const template = (name) => document.querySelector(`#catalogue-dropzone [data-says="${name}"]`);
  const tell = (name, bytes = 0) => {
    const { innerHTML, dataset } = template(name);
    const values = { "{number}": Math.ceil(bytes / MIB), "{most}": dataset.most };
    at("catalogue-message").innerHTML = innerHTML.replace(/\{\w+\}/g, (key) => values[key]);
    at("catalogue-message").hidden = false;
  };
  // Told before anything is sent: the studio hangs up on more than it takes, and could not say why.
  const isTooLarge = (file) => {
    const bytes = [file, ...at("catalogue-sketches").files].reduce((sum, { size }) => sum + size, 0);
    const found = [["table", file.size], ["all", bytes]]
      .find(([name, size]) => size > template(name).dataset.most * MIB);
    if (found) tell(...found);
    return Boolean(found);
  };

  let isSending = false;
  const send = async (file) => {
    if (isSending || !file) return;
    if (isTooLarge(file)) {
      at("catalogue-file").value = "";
      return;
    }
    isSending = true;
    say("");
    at("catalogue-checking").hidden = false;
    const form = new FormData();
    form.append("file", file, file.name);
    for (const sketch of at("catalogue-sketches").files) form.append("sketches", sketch, sketch.name);
    try {
      const answer = await fetch("/api/v1/batches", { method: "POST", body: form });
      const content = await answer.json();
      if (answer.ok) open(content.id);
      else say(content.detail || content.error || answer.statusText);
    } catch { // no answer, or none of the studio's
      tell("lost");
    } finally {
      isSending = false;
      at("catalogue-checking").hidden = true;
      at("catalogue-file").value = "";
    }
  };

  document.addEventListener("change", (event) => {
    if (event.target.id === "catalogue-file") send(event.target.files[0]);
    if (event.target.id === "catalogue-sketches") {
      at("catalogue-chosen").textContent = [...event.target.files].map((file) => file.name).join(", ");
    }
  });

  const zone = (event) => event.target.closest?.("#catalogue-area");
  document.addEventListener("dragover", (event) => {
    if (!zone(event)) return;
    event.preventDefault();
    at("catalogue-dropzone").classList.add("v-over");
  });
  document.addEventListener("dragleave", (event) => {
    if (zone(event) && !event.relatedTarget?.closest?.("#catalogue-area")) {
      at("catalogue-dropzone").classList.remove("v-over");
    }
  });
  document.addEventListener("drop", (event) => {
    if (!zone(event)) return;
    event.preventDefault();
    at("catalogue-dropzone").classList.remove("v-over");
    send(event.dataTransfer.files[0]);
  });
})();
