"use strict";
// Moves the time, changes what is shown, and dresses the page: one slider for the map and the cursor of every curve.
(async () => {
  const page = JSON.parse(document.getElementById("payload").textContent);
  const UNKNOWN = 65535;
  const at = (id) => document.getElementById(id);
  const every = (selector) => [...document.querySelectorAll(selector)];

  // The inverse of `packed`: deflate, low bytes before high bytes, changes from moment to moment.
  async function unpack({ elements, moments, data }) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const size = elements * moments;
    const values = new Uint16Array(size);
    for (let i = 0; i < size; i++) {
      const change = planes[i] | (planes[size + i] << 8);
      values[i] = i % moments ? values[i - 1] + change : change;
    }
    return values;
  }
  async function frames(packed) {
    const values = await unpack(packed);
    const { elements, moments } = packed;
    return (moment, step) => Float32Array.from({ length: elements }, (_, element) => {
      const value = moment < 0 ? UNKNOWN : values[element * moments + moment];
      return value === UNKNOWN ? NaN : value * step;
    });
  }
  async function places({ elements, moments, data }) { // two columns, x and y
    const values = await unpack({ elements, moments, data });
    return Uint16Array.from(values, (_, i) => values[(i % 2) * moments + (i >> 1)]);
  }

  const feeders = {};
  for (const [name, feeder] of Object.entries(page.feeders)) {
    const { lines, links, homes, squares } = feeder;
    for (const kind of [lines, links, homes, squares]) kind.points = await places(kind.points);
    for (const kind of [lines, links]) kind.counts = await unpack(kind.counts);
    feeders[name] = feeder;
  }
  const columns = {};
  for (const column of page.columns) {
    const [lines, limits, homes] = await Promise.all(["lines", "limits", "homes"].map((kind) => frames(column.frames[kind])));
    columns[column.name] = { ...column, feeder: feeders[column.case], times: page.cases[column.case].times, lines, limits, homes };
  }

  async function figures() {
    for (;;) {
      const document_ = window.Bokeh?.documents?.[0];
      if (document_?.is_idle || !page.ids.figures.length) return document_;
      await new Promise((resume) => setTimeout(resume, 20));
    }
  }
  const bokeh = await figures();
  const model = (id) => bokeh.get_model_by_id(id);

  const map = new FeederMap(at("feeder"), at("under"));
  at("feeder").feederMap = map; // within reach of tests, and of who wants to look at its values
  const state = { column: page.start.column, moment: page.start.moment };
  const clock = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", timeZone: "UTC",
  });
  const DAY = 86400000;
  function told(time) {
    if (!page.by_day) return clock.format(time).replace(",", "");
    return `day ${Math.floor((time - page.day_one) / DAY) + 1}, ${new Date(time).toISOString().slice(11, 16)}`;
  }

  // The moment of a case at a time of the page; -1 before it began and after it ended.
  function momentOf(times, time) {
    let [low, high] = [0, times.length];
    while (low < high) { const middle = (low + high) >> 1; if (times[middle] <= time) low = middle + 1; else high = middle; }
    const last = times.length > 1 ? times[times.length - 1] + (times[1] - times[0]) : times[0] + 1;
    return time >= last ? -1 : low - 1;
  }
  const now = () => page.times[state.moment];
  function values(column) {
    const moment = momentOf(column.times, now());
    const { loading, voltage } = page.step;
    return { lines: column.lines(moment, loading), limits: column.limits(moment, loading), homes: column.homes(moment, voltage) };
  }

  let drawn = null;
  function showMap() {
    const column = columns[state.column];
    if (drawn !== column.feeder) { drawn = column.feeder; map.show(drawn); }
    map.set(values(column));
    for (const note of every("[data-note]")) note.hidden = note.dataset.note !== column.case;
    const worst = map.worst();
    const low = map.values.homes.reduce((least, pu) => (pu < least ? pu : least), Infinity);
    const said = [`${state.column} on ${told(now())}`];
    if (worst) said.push(`most loaded: ${worst.name} at ${worst.share.toFixed(1)} % of its limit`);
    if (Number.isFinite(low)) said.push(`lowest voltage of a home: ${low.toFixed(3)} pu`);
    at("state").textContent = `${said.join("; ")}.`;
  }

  // Figures out of sight get their cursor when they come into sight: each repaints all its curves for it.
  const inSight = new Set();
  const cursors = new Map(page.ids.figures.map(({ name, cursor }) => [name, cursor]));
  const moveCursor = (name) => { model(cursors.get(name)).location = now(); };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const { figure } = target.dataset;
      if (isIntersecting) { inSight.add(figure); moveCursor(figure); } else inSight.delete(figure);
    }
  }, { rootMargin: "80px" });
  const observe = () => { for (const holder of every("[data-figure]")) if (cursors.has(holder.dataset.figure)) watcher.observe(holder); };

  function showTime() {
    for (const name of inSight) moveCursor(name);
    at("now").textContent = told(now());
    const slider = at("moment");
    slider.value = state.moment;
    slider.setAttribute("aria-valuetext", told(now()));
    for (const column of Object.values(columns)) {
      const { limit_percent, flow } = column.feeder.limits;
      const percent = column.limits(momentOf(column.times, now()), page.step.loading);
      let worst = -1;
      percent.forEach((value, row) => { if (flow[row] && value / limit_percent[row] > worst) worst = value / limit_percent[row]; });
      const chip = document.querySelector(`[data-now="${CSS.escape(column.name)}"]`);
      chip.textContent = worst >= 0 ? `${(100 * worst).toFixed(1)} %` : "–";
      chip.classList.toggle("over", worst > 1.01);
    }
  }

  let waiting = false;
  function show() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; showMap(); showTime(); });
  }
  function seek(index) {
    state.moment = Math.max(0, Math.min(page.times.length - 1, index));
    show();
  }
  const seekTime = (time) => {
    const after = page.times.findIndex((other) => other > time);
    seek(after < 0 ? page.times.length - 1 : after - 1);
  };
  function choose(name) {
    state.column = name;
    for (const radio of every('input[name="controller"]')) radio.checked = radio.value === name;
    if (page.times.length) show();
  }

  for (const radio of every('input[name="controller"]')) radio.addEventListener("change", () => choose(radio.value));
  function chooseLimit(limit) {
    for (const id of page.ids.by_limit) {
      const shown = model(id).tags.slice(1).map((column) => [column, model(id).data[`${limit}/${column}`]]);
      if (shown.every(([, values]) => values)) model(id).data = { ...model(id).data, ...Object.fromEntries(shown) };
    }
    if (at("limit")) at("limit").value = limit;
  }
  at("limit")?.addEventListener("change", (event) => chooseLimit(event.target.value));
  for (const button of every("button[data-peak]")) {
    button.addEventListener("click", () => {
      choose(button.dataset.peak);
      if (at("limit")?.querySelector(`[value="${CSS.escape(button.dataset.limit)}"]`)) chooseLimit(button.dataset.limit);
      seekTime(Number(button.dataset.time));
      at("map").scrollIntoView({ behavior: "smooth" });
    });
  }
  for (const button of every("button[data-curves]")) {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", shown);
      for (const id of button.dataset.curves.split(" ")) model(id).visible = shown;
    });
  }
  at("voltage").addEventListener("change", (event) => {
    map.byVoltage = event.target.checked;
    at("voltages").hidden = !event.target.checked;
    map.paint();
  });
  at("closer").addEventListener("click", () => map.zoomAt(1.6));
  at("further").addEventListener("click", () => map.zoomAt(1 / 1.6));
  at("whole").addEventListener("click", () => map.reset());

  // Light or dark: what the system says, or what was chosen here before.
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = {
    get() { try { return localStorage.getItem("grid_cosim.theme"); } catch { return null; } },
    set(theme) { try { localStorage.setItem("grid_cosim.theme", theme); } catch { /* a page may not keep anything */ } },
  };
  let chosen = remembered.get();
  const isDark = () => (chosen ? chosen === "dark" : system.matches);
  function look(theme) {
    const css = getComputedStyle(document.documentElement);
    const colour = (name) => css.getPropertyValue(`--${name}`).trim();
    return {
      loading: page.palettes[theme], voltage: page.palettes.voltage, unknown: "#9e9e9e", home: colour("home"),
      paper: colour("card"), ink: colour("ink"), quiet: colour("quiet"), font: getComputedStyle(document.body).fontFamily,
    };
  }
  function dress(theme = isDark() ? "dark" : "light") {
    document.documentElement.dataset.theme = theme;
    at("theme").textContent = theme === "dark" ? "☀ light" : "☾ dark";
    at("theme").setAttribute("aria-label", `change to the ${theme === "dark" ? "light" : "dark"} page`);
    const dressed = look(theme);
    every(".legend.loading").forEach((bar) => bar.style.setProperty("--colours", dressed.loading.join(",")));
    map.colours(dressed);
    ink(dressed);
  }
  function ink({ quiet }) {
    for (const { id, properties } of page.ids.inked) model(id).setv(Object.fromEntries(properties.map((name) => [name, quiet])));
  }
  at("theme").addEventListener("click", () => {
    chosen = isDark() ? "light" : "dark";
    remembered.set(chosen);
    dress();
  });
  system.addEventListener("change", () => dress());

  // On paper every figure is a still copy that fits the sheet, drawn before the page is laid out.
  const holders = () => [...every("[data-figure]"), at("feeder").parentElement];
  function canvases(root) {
    const found = [];
    for (const node of root.querySelectorAll("*")) {
      if (node.tagName === "CANVAS") found.push(node);
      if (node.shadowRoot) found.push(...canvases(node.shadowRoot));
    }
    return found;
  }
  function toPaper() {
    fromPaper();
    document.documentElement.dataset.theme = "light";
    const light = look("light");
    map.paintNow(light);
    ink(light);
    for (const { id } of page.ids.figures) window.Bokeh.index.get_by_id(id)?.paint(); // now, not with the next frame
    for (const holder of holders()) {
      const layers = canvases(holder).filter((canvas) => canvas.width > 100 && canvas.height > 100);
      if (!layers.length) continue;
      const [wide, high] = ["width", "height"].map((side) => Math.max(...layers.map((layer) => layer[side])));
      const copy = Object.assign(document.createElement("canvas"), { width: wide, height: high, className: "copy" });
      for (const layer of layers) copy.getContext("2d").drawImage(layer, 0, 0);
      holder.append(copy);
    }
    for (const details of every("details[data-print]:not([open])")) { details.open = true; details.dataset.opened = ""; }
  }
  function fromPaper() {
    every("canvas.copy").forEach((copy) => copy.remove());
    for (const details of every("details[data-opened]")) { details.open = false; delete details.dataset.opened; }
  }
  const back = () => { fromPaper(); dress(); map.paint(); };
  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", back);
  at("print").addEventListener("click", async () => {
    dress("light");
    for (let frame = 0; frame < 3; frame++) await new Promise((resume) => requestAnimationFrame(resume));
    window.print();
  });

  // Few ticks where there is little room.
  const narrow = window.matchMedia("(max-width: 640px)");
  function fit() {
    for (const { ticker, ticks } of page.ids.figures) model(ticker).desired_num_ticks = narrow.matches ? Math.min(ticks, 3) : ticks;
  }
  narrow.addEventListener("change", fit);
  fit();

  map.show(columns[state.column].feeder);
  drawn = columns[state.column].feeder;
  dress();
  choose(state.column);
  if (!page.times.length) return;
  let timer = null;
  const play = at("play");
  function stop() { clearInterval(timer); timer = null; play.textContent = "▶"; play.setAttribute("aria-label", "play"); }
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "pause");
    timer = setInterval(() => seek((state.moment + 1) % page.times.length), 140);
  });
  at("moment").addEventListener("input", (event) => { stop(); seek(Number(event.target.value)); });
  at("worst").addEventListener("click", () => { stop(); seekTime(columns[state.column].worst); });
  window.addEventListener("seek", (event) => { stop(); seekTime(event.detail); });
  observe();
  show();
  document.documentElement.dataset.ready = "";
})();
