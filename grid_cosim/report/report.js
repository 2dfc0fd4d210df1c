"use strict";
// Moves the time: one slider, the map's colours, and the cursor in every curve.
(async () => {
  const page = JSON.parse(document.getElementById("payload").textContent);
  const UNKNOWN = 65535;
  const at = (id) => document.getElementById(id);

  // The inverse of `_packed`: deflate, low bytes before high bytes, changes from moment to moment.
  async function unpack({ elements, data }) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const moments = page.times.length;
    const size = elements * moments;
    const values = new Uint16Array(size);
    for (let i = 0; i < size; i++) {
      const change = planes[i] | (planes[size + i] << 8);
      values[i] = i % moments ? values[i - 1] + change : change;
    }
    return (moment, step) => Float32Array.from({ length: elements }, (_, element) => {
      const value = values[element * moments + moment];
      return value === UNKNOWN ? NaN : value * step;
    });
  }

  const frames = {};
  for (const [name, kinds] of Object.entries(page.frames)) {
    const [lines, limits, homes] = await Promise.all([kinds.lines, kinds.limits, kinds.homes].map(unpack));
    frames[name] = { lines, limits, homes };
  }

  async function figures() {
    for (;;) {
      const model = window.Bokeh?.documents?.[0]?.get_model_by_id(page.ids.homes);
      if (model) return Bokeh.documents[0];
      await new Promise((resume) => setTimeout(resume, 20));
    }
  }
  const bokeh = await figures();
  const model = (id) => bokeh.get_model_by_id(id);
  const source = (name) => model(page.ids.sources[name]);

  let controller = page.start.controller;
  let moment = page.start.moment;
  const clock = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
  });

  function showMap() {
    const frame = frames[controller];
    const loading = frame.lines(moment, page.step.loading);
    const width = loading.map((percent) => Math.min(5, 1.4 + 0.03 * (Number.isNaN(percent) ? 0 : percent)));
    source("lines").data = { ...source("lines").data, loading, width };
    const all = frame.limits(moment, page.step.loading);
    const carried = Float32Array.from(page.squares, (i) => all[i]);
    const of_limit = carried.map((percent, i) => (100 * percent) / page.limit_percent[page.squares[i]]);
    source("limits").data = { ...source("limits").data, loading: carried, of_limit };
    source("homes").data = { ...source("homes").data, vm_pu: frame.homes(moment, page.step.voltage) };
  }

  function showTime() {
    for (const id of page.ids.cursors) model(id).location = page.times[moment];
    at("now").textContent = clock.format(page.times[moment]).replace(",", "");
    at("moment").value = moment;
    for (const name of page.controllers) {
      const shares = [...frames[name].limits(moment, page.step.loading)].map((p, i) => (100 * p) / page.limit_percent[i]);
      const worst = Math.max(...shares.filter((share) => !Number.isNaN(share)));
      const chip = document.querySelector(`[data-now="${CSS.escape(name)}"]`);
      chip.textContent = Number.isFinite(worst) ? `${worst.toFixed(1)} %` : "–";
      chip.classList.toggle("over", worst > 101);
    }
  }

  let waiting = false;
  function show() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; showMap(); showTime(); });
  }
  function seek(index) {
    moment = Math.max(0, Math.min(page.times.length - 1, index));
    show();
  }

  for (const radio of document.querySelectorAll('input[name="controller"]')) {
    radio.checked = radio.value === controller;
    radio.addEventListener("change", () => { controller = radio.value; show(); });
  }
  at("limit")?.addEventListener("change", (event) => {
    for (const id of page.ids.by_limit) {
      const columns = model(id).tags.slice(1);
      const shown = columns.map((column) => [column, model(id).data[`${event.target.value}/${column}`]]);
      model(id).data = { ...model(id).data, ...Object.fromEntries(shown) };
    }
  });
  const { fill_color: plain, size: { value: size } } = model(page.ids.homes).glyph;
  at("voltage").addEventListener("change", (event) => {
    const mapper = source("homes").tags[0];
    const glyph = model(page.ids.homes).glyph;
    glyph.fill_color = event.target.checked ? { field: "vm_pu", transform: mapper } : plain;
    glyph.size = event.target.checked ? 1.5 * size : size;
    model(page.ids.voltage_bar).visible = event.target.checked;
  });

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    for (const id of page.ids.mappers) model(id).palette = page.palettes[dark.matches ? "dark" : "light"];
  };
  dark.addEventListener("change", paint);
  if (dark.matches) paint();

  if (!page.times.length) return;
  let timer = null;
  const play = at("play");
  function stop() { clearInterval(timer); timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "play"); }
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause");
    timer = setInterval(() => seek((moment + 1) % page.times.length), 140);
  });
  at("moment").addEventListener("input", (event) => { stop(); seek(Number(event.target.value)); });
  window.addEventListener("seek", (event) => {
    const after = page.times.findIndex((time) => time > event.detail);
    seek(after < 0 ? page.times.length - 1 : after - 1);
  });
  show();
})();
