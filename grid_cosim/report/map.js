"use strict";
// The feeder on a canvas of its own: ten thousand lines in one frame. Positions in, colours per moment, no state of the page.
class FeederMap {
  static MOST_LOADING = 120; // percent, the end of the palette
  static LOW_PU = 0.9;
  static HIGH_PU = 1.1;

  constructor(canvas, tip) {
    this.canvas = canvas;
    this.tip = tip;
    this.view = { zoom: 1, x: 0, y: 0 }; // x, y: pixels by which the fitted drawing was moved
    this.byVoltage = false;
    this.pointers = new Map();
    this._listen();
    new ResizeObserver(() => this.paint()).observe(canvas);
  }

  // feeder: as `feeder_data` packs it, its places unpacked.
  show(feeder) {
    this.feeder = feeder;
    const { points, counts } = feeder.lines;
    this.first = new Uint32Array(counts.length + 1);
    counts.forEach((count, line) => { this.first[line + 1] = this.first[line] + count; });
    this.x = Float32Array.from({ length: points.length / 2 }, (_, i) => points[2 * i]);
    this.y = Float32Array.from({ length: points.length / 2 }, (_, i) => points[2 * i + 1]);
    this.px = new Float32Array(this.x.length);
    this.py = new Float32Array(this.x.length);
    this.bucket = new Uint16Array(counts.length);
    this.reset();
  }

  // values: { lines, limits, homes } of one moment, NaN where unknown.
  set(values) {
    this.values = values;
    const { limit_percent } = this.feeder.lines;
    this.share = values.lines.map((percent, line) => (100 * percent) / limit_percent[line]);
    const { rows } = this.feeder.squares;
    this.squareShare = rows.map((row) => (100 * values.limits[row]) / this.feeder.limits.limit_percent[row]);
    this.paintNow();
  }

  colours(look) {
    this.look = look;
    this.paint();
  }

  reset() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.paint();
  }

  zoomAt(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const zoom = Math.min(200, Math.max(1, this.view.zoom * factor));
    const by = zoom / this.view.zoom;
    this.view = zoom === 1 ? { zoom, x: 0, y: 0 } : { zoom, x: x - by * (x - this.view.x), y: y - by * (y - this.view.y) };
    this.paint();
  }

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.paint();
  }

  paint() {
    this.canvas.style.touchAction = this.view.zoom > 1 ? "none" : "pan-x pan-y"; // a finger scrolls the page
    if (this.due || !this.values) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paintNow(); });
  }

  paintNow(look = this.look) {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!this.values || !look || !width) return;
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
      canvas.width = Math.round(width * dense);
      canvas.height = Math.round(height * dense);
    }
    const context = canvas.getContext("2d");
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, width, height);
    this._place(width, height);
    const crowded = this.feeder.homes.points.length > 4000 && !this.byVoltage; // homes would hide the lines
    this._drawLinks(context, look);
    if (crowded) this._drawHomes(context, look, width, height);
    this._drawLines(context, look, width, height);
    if (!crowded) this._drawHomes(context, look, width, height);
    this._drawSquares(context, look);
    this._drawWorst(context, look, width);
    if (this.feeder.located) this._drawScale(context, look, height);
  }

  // What is most loaded now: { name, share, x, y } or null; x is missing where it is not on the map.
  worst() {
    const { names, limit_percent, flow } = this.feeder.limits;
    let found = null;
    this.values.limits.forEach((percent, row) => {
      const share = (100 * percent) / limit_percent[row];
      if (flow[row] && !Number.isNaN(share) && (!found || share > found.share)) found = { row, name: names[row], share };
    });
    return found;
  }

  _place(width, height) {
    const margin = 44; // room for the ring and beside the buttons
    const { span, located } = this.feeder;
    const [w, h] = [span[0] * 65535, span[1] * 65535];
    let sx = (width - 2 * margin) / w;
    let sy = (height - 2 * margin) / h;
    if (located) sx = sy = Math.min(sx, sy);
    const { zoom, x, y } = this.view;
    const left = (width - w * sx) / 2;
    const top = (height - h * sy) / 2;
    this.scale = sx * zoom; // pixels per metre
    this.toX = (whole) => x + zoom * (left + whole * span[0] * sx);
    this.toY = (whole) => y + zoom * (top + (65535 - whole) * span[1] * sy);
    const [ax, bx] = [zoom * span[0] * sx, x + zoom * left];
    const [ay, by] = [-zoom * span[1] * sy, y + zoom * (top + h * sy)];
    for (let i = 0; i < this.x.length; i++) {
      this.px[i] = ax * this.x[i] + bx;
      this.py[i] = ay * this.y[i] + by;
    }
  }

  // Lines of one colour are one path; the busiest are drawn last, over the others.
  _drawLines(context, look, width, height) {
    const { px, py, first, share, bucket } = this;
    const steps = look.loading.length;
    const members = Array.from({ length: steps + 1 }, () => []);
    for (let line = 0; line < share.length; line++) {
      const unknown = Number.isNaN(share[line]);
      bucket[line] = unknown ? 0 : 1 + Math.min(steps - 1, Math.floor((share[line] / FeederMap.MOST_LOADING) * steps));
      members[bucket[line]].push(line);
    }
    const many = share.length > 2000;
    context.lineCap = context.lineJoin = many ? "butt" : "round";
    context.lineJoin = many ? "bevel" : "round";
    const thin = many ? 0.8 : 1.4;
    members.forEach((lines, step) => {
      if (!lines.length) return;
      const percent = ((step - 1) / steps) * FeederMap.MOST_LOADING;
      context.beginPath();
      for (const line of lines) {
        const [from, to] = [first[line], first[line + 1]];
        if (this._outside(from, to, width, height)) continue;
        context.moveTo(px[from], py[from]);
        for (let i = from + 1; i < to; i++) context.lineTo(px[i], py[i]);
      }
      context.strokeStyle = step ? look.loading[step - 1] : look.unknown;
      context.lineWidth = step ? Math.min(5, thin + 0.03 * percent) : thin;
      context.stroke();
    });
  }

  // Transformers and closed switches, so that what they join hangs together.
  _drawLinks(context, look) {
    const { points, counts } = this.feeder.links;
    context.beginPath();
    let corner = 0;
    for (const count of counts) {
      for (let i = 0; i < count; i++, corner++) {
        const [x, y] = [this.toX(points[2 * corner]), this.toY(points[2 * corner + 1])];
        if (i) context.lineTo(x, y); else context.moveTo(x, y);
      }
    }
    context.strokeStyle = look.quiet;
    context.lineWidth = 1;
    context.stroke();
  }

  _outside(from, to, width, height) {
    const { px, py } = this;
    if (this.view.zoom === 1) return false;
    let [left, right, above, below] = [true, true, true, true];
    for (let i = from; i < to; i++) {
      left &&= px[i] < 0;
      right &&= px[i] > width;
      above &&= py[i] < 0;
      below &&= py[i] > height;
    }
    return left || right || above || below;
  }

  _drawHomes(context, look, width, height) {
    const { points } = this.feeder.homes;
    const count = points.length / 2;
    const size = (count > 2000 ? 1.6 : count > 400 ? 4 : 6) * (this.byVoltage ? 1.5 : 1) * Math.min(2, Math.sqrt(this.view.zoom));
    const colour = (home) => {
      if (!this.byVoltage) return look.home;
      const pu = this.values.homes[home];
      const at = (pu - FeederMap.LOW_PU) / (FeederMap.HIGH_PU - FeederMap.LOW_PU);
      return Number.isNaN(pu) ? look.unknown : look.voltage[Math.max(0, Math.min(look.voltage.length - 1, Math.floor(at * look.voltage.length)))];
    };
    const groups = new Map();
    for (let home = 0; home < count; home++) {
      const fill = colour(home);
      if (!groups.has(fill)) groups.set(fill, []);
      groups.get(fill).push(home);
    }
    const dots = count <= 2000;
    for (const [fill, homes] of groups) {
      context.beginPath();
      for (const home of homes) {
        const [x, y] = [this.toX(points[2 * home]), this.toY(points[2 * home + 1])];
        if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
        if (dots) { context.moveTo(x + size / 2, y); context.arc(x, y, size / 2, 0, 6.2832); } else context.rect(x - size / 2, y - size / 2, size, size);
      }
      context.fillStyle = fill;
      context.fill();
      if (dots) { context.strokeStyle = look.paper; context.lineWidth = 0.6; context.stroke(); }
    }
  }

  _drawSquares(context, look) {
    const { points } = this.feeder.squares;
    const size = points.length > 80 ? 9 : 17;
    const steps = look.loading.length;
    this.squareShare.forEach((share, square) => {
      const [x, y] = [this.toX(points[2 * square]), this.toY(points[2 * square + 1])];
      context.fillStyle = Number.isNaN(share) ? look.unknown : look.loading[Math.min(steps - 1, Math.floor((share / FeederMap.MOST_LOADING) * steps))];
      context.strokeStyle = look.paper;
      context.lineWidth = 2;
      context.fillRect(x - size / 2, y - size / 2, size, size);
      context.strokeRect(x - size / 2, y - size / 2, size, size);
    });
  }

  // A ring around what is most loaded, with its name: so that no one has to look for it among thousands.
  _drawWorst(context, look, width) {
    const worst = this.worst();
    if (!worst) return;
    const square = this.feeder.squares.rows.indexOf(worst.row);
    const line = this.feeder.lines.names.indexOf(worst.name);
    let at = null;
    if (square >= 0) at = [this.toX(this.feeder.squares.points[2 * square]), this.toY(this.feeder.squares.points[2 * square + 1])];
    else if (line >= 0) {
      const middle = Math.floor((this.first[line] + this.first[line + 1] - 1) / 2);
      at = [(this.px[middle] + this.px[middle + 1]) / 2, (this.py[middle] + this.py[middle + 1]) / 2];
    }
    if (!at) return;
    context.beginPath();
    context.arc(at[0], at[1], 16, 0, 6.2832);
    context.strokeStyle = look.ink;
    context.lineWidth = 2;
    context.stroke();
    const text = `${worst.name}  ${worst.share.toFixed(0)} %`;
    context.font = `600 13px ${look.font}`;
    const wide = context.measureText(text).width;
    const x = at[0] + 22 + wide > width ? at[0] - 22 - wide : at[0] + 22;
    context.fillStyle = look.paper;
    context.globalAlpha = 0.85;
    context.fillRect(x - 4, at[1] - 11, wide + 8, 22);
    context.globalAlpha = 1;
    context.fillStyle = look.ink;
    context.textBaseline = "middle";
    context.fillText(text, x, at[1]);
  }

  _drawScale(context, look, height) {
    const wanted = 120 / this.scale;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const metres = [5, 2, 1].map((factor) => factor * power).find((length) => length <= wanted) ?? power;
    const wide = metres * this.scale;
    context.strokeStyle = context.fillStyle = look.quiet;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(14, height - 18);
    context.lineTo(14, height - 12);
    context.lineTo(14 + wide, height - 12);
    context.lineTo(14 + wide, height - 18);
    context.stroke();
    context.font = `12px ${look.font}`;
    context.textBaseline = "alphabetic";
    context.fillText(metres >= 1000 ? `${metres / 1000} km` : `${metres} m`, 18, height - 17);
  }

  // What is under a point of the canvas, in words; squares before homes before lines.
  under(x, y) {
    const { feeder, values } = this;
    const number = (value, digits, unit) => (Number.isNaN(value) ? "not known" : `${value.toFixed(digits)} ${unit}`);
    const nearest = (points, reach) => {
      let [found, best] = [-1, reach * reach];
      for (let i = 0; i < points.length / 2; i++) {
        const far = (this.toX(points[2 * i]) - x) ** 2 + (this.toY(points[2 * i + 1]) - y) ** 2;
        if (far < best) [found, best] = [i, far];
      }
      return found;
    };
    const square = nearest(feeder.squares.points, 12);
    if (square >= 0) {
      const row = feeder.squares.rows[square];
      return `${feeder.squares.labels[square]}\nloading ${number(values.limits[row], 1, "%")}, limit ${feeder.limits.limit_percent[row]} %`;
    }
    const home = nearest(feeder.homes.points, 6);
    if (home >= 0) return `${feeder.homes.names[home]} at ${feeder.homes.buses[home]}\nvoltage ${number(values.homes[home], 4, "pu")}`;
    const line = this._nearestLine(x, y, 7);
    if (line >= 0) return `${feeder.lines.names[line]}\nloading ${number(values.lines[line], 1, "%")}, limit ${feeder.lines.limit_percent[line]} %`;
    return "";
  }

  _nearestLine(x, y, reach) {
    const { px, py, first } = this;
    let [found, best] = [-1, reach * reach];
    for (let line = 0; line + 1 < first.length; line++) {
      for (let i = first[line]; i + 1 < first[line + 1]; i++) {
        const [dx, dy] = [px[i + 1] - px[i], py[i + 1] - py[i]];
        const along = Math.max(0, Math.min(1, ((x - px[i]) * dx + (y - py[i]) * dy) / (dx * dx + dy * dy || 1)));
        const far = (px[i] + along * dx - x) ** 2 + (py[i] + along * dy - y) ** 2;
        if (far < best) [found, best] = [line, far];
      }
    }
    return found;
  }

  _listen() {
    const { canvas, pointers } = this;
    const at = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => {
      pointers.set(event.pointerId, at(event));
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    const up = (event) => pointers.delete(event.pointerId);
    for (const kind of ["pointerup", "pointercancel", "pointerleave"]) canvas.addEventListener(kind, up);
    canvas.addEventListener("pointermove", (event) => this._moved(event, at(event)));
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    canvas.addEventListener("dblclick", (event) => this.zoomAt(2, ...at(event)));
    canvas.addEventListener("wheel", (event) => { // without a key the wheel scrolls the page
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoomAt(Math.exp(-0.002 * event.deltaY), ...at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const act = {
        "+": () => this.zoomAt(1.5), "=": () => this.zoomAt(1.5), "-": () => this.zoomAt(1 / 1.5), 0: () => this.reset(),
        ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0), ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60),
      }[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      act();
    });
  }

  _moved(event, [x, y]) {
    const { pointers } = this;
    const before = pointers.get(event.pointerId);
    if (before && pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.zoomAt(spread([x, y]) / (spread(before) || 1), (x + other[0]) / 2, (y + other[1]) / 2);
    } else if (before && (event.pointerType === "mouse" || this.view.zoom > 1)) this.pan(x - before[0], y - before[1]);
    if (before) pointers.set(event.pointerId, [x, y]);
    const text = before || !this.values ? "" : this.under(x, y);
    this.tip.hidden = !text;
    this.tip.textContent = text;
    this.tip.style.left = `${Math.min(x + 14, Math.max(0, this.canvas.clientWidth - 230))}px`;
    this.tip.style.top = `${y + 14}px`;
  }
}
