// The upload form sends each file by itself, with a bar of its own; without this script it is a plain form.
"use strict";
(() => {
  const AT_ONCE = 2; // files on their way at the same time

  function sendOne(form, file, waiting, done) {
    const list = document.querySelector(form.dataset.upload);
    const row = document.getElementById("sending").content.cloneNode(true).querySelector("[data-sending]");
    row.querySelector("[data-name]").textContent = file.name;
    row.setAttribute("hx-encoding", "multipart/form-data");
    list.prepend(row);
    const bar = row.querySelector("progress");
    const told = row.querySelector("[data-told]");
    row.addEventListener("htmx:xhr:progress", (progress) => {
      if (!progress.detail.lengthComputable) return;
      bar.value = (100 * progress.detail.loaded) / progress.detail.total;
      told.textContent = `${Math.round(bar.value)} %`;
    });
    const stop = row.querySelector("[data-stop]");
    const end = (text) => {
      told.textContent = text;
      bar.remove();
      stop.remove();
    };
    stop.addEventListener("click", () => {
      window.htmx.trigger(row, "htmx:abort");
      end(row.dataset.stopped);
    });
    row.addEventListener("htmx:responseError", ({ detail }) => end(detail.xhr.status === 413 ? row.dataset.tooMuch : `HTTP ${detail.xhr.status}`));
    row.addEventListener("htmx:sendError", () => end(row.dataset.lost));
    const values = { sensor: waiting.sensor, logs: file };
    window.htmx.ajax("POST", form.action, { source: row, target: row, swap: "outerHTML", select: "#uploads > *, .flash", values })
      .then(done, done);
  }

  function send(form, files) {
    const waiting = { sensor: form.elements.sensor.value, files: [...files] };
    const next = () => {
      const file = waiting.files.shift();
      if (file) sendOne(form, file, waiting, next);
    };
    for (let lane = 0; lane < AT_ONCE; lane += 1) next();
  }

  for (const form of document.querySelectorAll("form[data-upload]")) {
    const place = form.querySelector("[data-drop]");
    const input = form.querySelector("input[type=file]");
    form.querySelector("[data-drop-hint]").hidden = false;
    form.addEventListener("submit", (submit) => {
      if (!input.files.length) return; // the browser says what is missing
      submit.preventDefault();
      send(form, input.files);
      input.value = "";
    });
    place.addEventListener("dragover", (drag) => { drag.preventDefault(); place.classList.add("drop--over"); });
    place.addEventListener("dragleave", () => place.classList.remove("drop--over"));
    place.addEventListener("drop", (drop) => {
      drop.preventDefault();
      place.classList.remove("drop--over");
      if (drop.dataTransfer.files.length) send(form, drop.dataTransfer.files);
    });
  }
})();
