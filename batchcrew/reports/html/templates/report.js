"use strict";
/* The table of all jobs. Its columns are blocks in this file: gzip in base64, decoded into typed arrays
   (batchcrew/reports/html/columns.py describes them). Only the rows that are visible are in the document.
   What a file or a crew wrote is only ever set as text; the one exception, Markdown, was cleaned when the file was made. */
(() => {
  const ROW = 36; // pixels of a row, as in report.css
  const MOST_PIXELS = 8e6; // browsers limit the height of an element; taller tables scroll in proportion
  const PRINTED_ROWS = 100, MOST_DRAWN = 200;
  const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g; // they act, or turn text
  const byId = (id) => document.getElementById(id);

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  /* ---- commands that can be copied ---- */

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const command = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch { // not allowed for files in every browser: select the text, so that Ctrl-C copies it
      getSelection().selectAllChildren(command);
      if (!document.execCommand("copy")) return;
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });

  /* ---- decoding ---- */

  const decoder = new TextDecoder();

  async function unpack(id, size) {
    const block = byId(id);
    const encoded = block.textContent;
    block.remove(); // its text takes memory
    const packed = Uint8Array.fromBase64
      ? Uint8Array.fromBase64(encoded)
      : Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
    const bytes = new Uint8Array(size);
    let end = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      bytes.set(part.value, end);
      end += part.value.length;
    }
    return bytes;
  }

  /** Return the first numbers of a block: `width` planes of one byte for each row. */
  function fromPlanes(bytes, rows, width) {
    if (width === 1) return bytes.slice(0, rows);
    if (width === 2) {
      const numbers = new Uint16Array(rows);
      for (let row = 0, high = rows; row < rows; row++, high++) numbers[row] = bytes[row] | (bytes[high] << 8);
      return numbers;
    }
    const numbers = new Uint32Array(rows);
    for (let plane = 0; plane < 4; plane++) {
      for (let row = 0, at = plane * rows; row < rows; row++, at++) numbers[row] |= bytes[at] << (8 * plane);
    }
    return numbers;
  }

  class Dictionary {
    constructor(facts, bytes, rows) {
      this.values = facts.values;
      this.keys = fromPlanes(bytes, rows, facts.width);
    }
    text(row) { return this.values[this.keys[row]]; }
    find(patterns, found) {
      const matching = Uint8Array.from(this.values, (value) => {
        const text = value.toLowerCase();
        return patterns.some((pattern) => text.includes(pattern.text)) ? 1 : 0;
      });
      if (!matching.includes(1)) return;
      for (let row = 0; row < this.keys.length; row++) found[row] |= matching[this.keys[row]];
    }
    sort(order) { return sortNumbers(order, this.keys); }
  }

  class Numbers {
    constructor(facts, bytes, rows) {
      this.unit = facts.unit;
      this.keys = fromPlanes(bytes, rows, facts.width);
      if (facts.delta) for (let row = 1; row < rows; row++) this.keys[row] += this.keys[row - 1];
    }
    text(row) {
      if (!this.keys[row]) return "";
      const number = this.keys[row] - 1;
      if (this.unit === "seconds") return duration(number < 1000 ? number / 100 : number < 1900 ? (number - 900) / 10 : number - 1800);
      if (this.unit === "time") return moment(number);
      return number.toLocaleString("en");
    }
    find() {} // search is for text
    sort(order) { return sortNumbers(order, this.keys); }
  }

  class Texts {
    constructor(facts, bytes, rows) {
      const lengths = fromPlanes(bytes, rows, 2);
      this.numeric = facts.numeric;
      this.starts = new Uint32Array(rows + 1);
      if (facts.front) this.join(bytes, rows, lengths, facts.bytes);
      else {
        this.bytes = bytes.subarray(2 * rows);
        for (let row = 0; row < rows; row++) this.starts[row + 1] = this.starts[row] + lengths[row];
      }
    }
    join(bytes, rows, lengths, size) {
      const joined = new Uint8Array(size);
      let before = 0, end = 0, next = 3 * rows;
      for (let row = 0; row < rows; row++) {
        const start = end, shared = bytes[2 * rows + row];
        for (let i = 0; i < shared; i++) joined[end++] = joined[before + i];
        for (let i = lengths[row]; i > 0; i--) joined[end++] = bytes[next++];
        this.starts[row + 1] = end;
        before = start;
      }
      this.bytes = joined;
    }
    text(row) { return decoder.decode(this.bytes.subarray(this.starts[row], this.starts[row + 1])); }
    find(patterns, found) { for (const pattern of patterns) findBytes(this, pattern.bytes, found); }
    sort(order) {
      if (!this.numeric) return sortTexts(this, order);
      const numbers = new Float64Array(this.starts.length - 1);
      for (let row = 0; row < numbers.length; row++) {
        const text = this.text(row);
        numbers[row] = text === "" ? -Infinity : Number(text);
      }
      return Uint32Array.from(order).sort((a, b) => numbers[a] - numbers[b] || a - b);
    }
  }

  const KINDS = { dictionary: Dictionary, number: Numbers, text: Texts };

  /* ---- searching and sorting ---- */

  const FOLD = Uint8Array.from({ length: 256 }, (_, byte) => (byte > 64 && byte < 91 ? byte + 32 : byte));

  /** Mark the rows whose text has the pattern, whatever the case of ASCII letters (Horspool's algorithm). */
  function findBytes({ bytes, starts }, pattern, found) {
    const last = pattern.length - 1;
    const skip = new Uint16Array(256).fill(pattern.length);
    for (let i = 0; i < last; i++) {
      skip[pattern[i]] = last - i;
      if (pattern[i] > 96 && pattern[i] < 123) skip[pattern[i] - 32] = last - i;
    }
    const end = bytes.length, final = pattern[last];
    let row = 0;
    for (let at = last; at < end;) {
      const byte = bytes[at];
      if (FOLD[byte] === final) {
        let i = last - 1, place = at - 1;
        while (i >= 0 && FOLD[bytes[place]] === pattern[i]) { i--; place--; }
        if (i < 0) {
          while (starts[row + 1] <= place + 1) row++;
          if (at < starts[row + 1]) { // else it reaches into the next row
            found[row] = 1;
            at = starts[row + 1] + last;
            continue;
          }
        }
      }
      at += skip[byte];
    }
  }

  function patternsOf(query) {
    const variants = new Set([query, query.toLowerCase(), query.toUpperCase()]); // beyond ASCII, case is not folded
    const encoder = new TextEncoder();
    const patterns = new Map();
    for (const text of variants) {
      const bytes = encoder.encode(text).map((byte) => FOLD[byte]);
      patterns.set(bytes.join(), { text: text.toLowerCase(), bytes });
    }
    return [...patterns.values()];
  }

  /** Return the rows by their keys; rows with equal keys keep their order (radix sort). */
  function sortNumbers(order, keys) {
    let from = order, to = new Uint32Array(order.length), spare = null;
    for (let shift = 0; shift < 8 * keys.BYTES_PER_ELEMENT; shift += 8) {
      const ends = new Uint32Array(257);
      for (let i = 0; i < from.length; i++) ends[((keys[from[i]] >>> shift) & 255) + 1]++;
      if (ends.includes(from.length, 1)) continue; // all have the same byte
      for (let i = 1; i < 257; i++) ends[i] += ends[i - 1];
      for (let i = 0; i < from.length; i++) to[ends[(keys[from[i]] >>> shift) & 255]++] = from[i];
      if (from === order) spare = new Uint32Array(order.length);
      [from, to] = [to, from === order ? spare : from];
    }
    return from === order ? Uint32Array.from(order) : from;
  }

  /** Return the rows by their texts, byte after byte, whatever the case of ASCII letters. */
  function sortTexts({ bytes, starts }, order) {
    const sorted = Uint32Array.from(order), spare = new Uint32Array(order.length);
    const byteAt = (row, depth) => {
      const at = starts[row] + depth;
      return at < starts[row + 1] ? FOLD[bytes[at]] + 1 : 0;
    };
    const isAfter = (a, b, depth) => {
      for (;; depth++) {
        const first = byteAt(a, depth), second = byteAt(b, depth);
        if (first !== second || !first) return first > second;
      }
    };
    const waiting = [[0, sorted.length, 0]];
    while (waiting.length) {
      let [start, end, depth] = waiting.pop();
      if (end - start < 24) {
        for (let i = start + 1; i < end; i++) {
          const row = sorted[i];
          let place = i;
          for (; place > start && isAfter(sorted[place - 1], row, depth); place--) sorted[place] = sorted[place - 1];
          sorted[place] = row;
        }
        continue;
      }
      const ends = new Uint32Array(258);
      for (let i = start; i < end; i++) ends[byteAt(sorted[i], depth) + 1]++;
      const counts = ends.slice(1);
      ends[0] = start;
      for (let i = 1; i < 258; i++) ends[i] += ends[i - 1];
      const only = counts.indexOf(end - start); // the texts share this byte
      if (only < 0) {
        for (let i = start; i < end; i++) spare[ends[byteAt(sorted[i], depth)]++] = sorted[i];
        sorted.set(spare.subarray(start, end), start);
      }
      for (let byte = 0, first = start; byte < 257; first += counts[byte++]) {
        if (byte > 0 && counts[byte] > 1) waiting.push([first, first + counts[byte], depth + 1]);
      }
    }
    return sorted;
  }

  /* ---- words and numbers ---- */

  function duration(seconds) { // as words.py writes them
    if (seconds < 99.95 && seconds % 60) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)}\u00a0s`;
    const parts = [];
    let rest = Math.round(seconds);
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      const number = Math.floor(rest / size);
      rest %= size;
      if (number && parts.length < 2) parts.push(`${number}\u00a0${unit}`);
      else if (parts.length) break;
    }
    return parts.join("\u00a0") || "0\u00a0s";
  }

  let epoch = 0; // milliseconds: the moment from which the table's moments are counted
  const moment = (seconds) => new Date(epoch + 1000 * seconds).toISOString().slice(0, 19).replace("T", " ");
  const plural = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const clean = (text) => text.replace(CONTROLS, (character) => { // as words.py writes them
    const number = character.charCodeAt(0).toString(16);
    return number.length < 3 ? `\\x${number.padStart(2, "0")}` : `\\u${number}`;
  });

  /* ---- the table ---- */

  class Table {
    constructor(facts, columns) {
      this.facts = facts;
      this.all = columns; // each {key, name, kind, …, data}
      this.columns = columns.filter((one) => !one.hidden);
      this.rows = facts.rows;
      this.byKey = new Map(columns.filter((one) => one.key).map((one) => [one.key, one]));
      this.fileOrder = Uint32Array.from({ length: this.rows }, (_, row) => row);
      this.order = this.fileOrder;
      this.shown = this.fileOrder;
      this.searched = { query: "", where: "" };
      this.active = 0; // position among the rows that are shown
      this.pixel = 0; // the table's pixel at the upper edge, were it not for MOST_PIXELS
      this.scroller = byId("jobs-scroller");
      this.body = byId("jobs-body");
      this.headings = [...document.querySelectorAll("#jobs-table th")];
      this.addFilters();
      this.listen();
      this.filter();
    }

    addFilters() {
      for (const key of ["state", "crew", "group"]) {
        const select = byId(`jobs-${key}`), column = this.byKey.get(key);
        const counts = new Uint32Array(column.data.values.length);
        for (const code of column.data.keys) counts[code]++;
        column.data.values.forEach((value, code) => {
          if (!value || !counts[code]) return;
          const label = this.facts.labels[key]?.find(([name]) => name === value)?.[1] ?? value;
          select.append(element("option", { value: code }, `${clean(label)} (${counts[code].toLocaleString("en")})`));
        });
        select.closest("label").hidden = select.options.length < (key === "crew" ? 3 : 2);
        select.addEventListener("change", () => this.filter());
      }
      const where = byId("jobs-where");
      this.columns.forEach((column, place) => {
        if (column.kind !== "number") where.append(element("option", { value: place }, clean(column.name)));
      });
      byId("jobs-query").addEventListener("input", () => this.filter());
      where.addEventListener("change", () => this.filter());
      byId("jobs-form").addEventListener("submit", (event) => event.preventDefault());
      byId("jobs-form").addEventListener("reset", () => setTimeout(() => this.filter()));
    }

    /** Show the rows that fit the search and the selected values. */
    filter() {
      const found = this.search();
      const wanted = ["state", "crew", "group"]
        .map((key) => [this.byKey.get(key).data.keys, byId(`jobs-${key}`).value])
        .filter(([, code]) => code !== "")
        .map(([keys, code]) => [keys, Number(code)]);
      if (!found && !wanted.length) this.shown = this.order;
      else {
        const shown = new Uint32Array(this.rows);
        let number = 0;
        rows: for (let i = 0; i < this.rows; i++) {
          const row = this.order[i];
          if (found && !found[row]) continue;
          for (const [keys, code] of wanted) if (keys[row] !== code) continue rows;
          shown[number++] = row;
        }
        this.shown = shown.slice(0, number);
      }
      this.active = 0;
      this.goTo(0);
      const text = this.shown.length === this.rows ? plural(this.rows, "job")
        : `${this.shown.length.toLocaleString("en")} of ${plural(this.rows, "job")}`;
      byId("jobs-number").textContent = text;
      byId("jobs-table").setAttribute("aria-rowcount", this.shown.length + 1);
    }

    search() {
      const query = byId("jobs-query").value.trim(), where = byId("jobs-where").value;
      if (!query) return null;
      const patterns = patternsOf(query), found = new Uint8Array(this.rows);
      const columns = where === "" ? this.columns : [this.columns[Number(where)]];
      for (const column of columns) column.data.find(patterns, found);
      return found;
    }

    sort(place) {
      const heading = this.headings[place];
      const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.getAttribute("aria-sort")];
      for (const one of this.headings) one.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", next);
      this.order = next === "none" ? this.fileOrder : this.columns[place].data.sort(this.fileOrder);
      if (next === "descending") this.order.reverse();
      this.filter();
    }

    /* -- scrolling -- */

    get height() { return this.shown.length * ROW; }
    get viewport() { return Math.max(ROW, this.scroller.clientHeight - ROW); } // below the headings
    get scaledHeight() { return Math.min(this.height, MOST_PIXELS); }

    goTo(pixel) {
      this.pixel = Math.max(0, Math.min(pixel, this.height - this.viewport));
      this.draw();
      this.scrollTo(this.pixel);
    }

    /** Put the scroll bar where the pixel is. */
    scrollTo(pixel) {
      const most = this.height - this.viewport, scaled = this.scaledHeight - this.viewport;
      this.top = most > 0 ? Math.round((pixel / most) * scaled) : 0;
      this.scroller.scrollTop = this.top;
      this.top = this.scroller.scrollTop;
      this.draw();
    }

    scrolled() {
      const top = this.scroller.scrollTop, moved = top - this.top;
      if (!moved) return;
      const most = Math.max(0, this.height - this.viewport), scaled = this.scaledHeight - this.viewport;
      this.top = top;
      if (this.height <= MOST_PIXELS) this.pixel = top;
      else if (Math.abs(moved) < this.viewport && top > 0 && top < scaled) this.pixel += moved; // by wheel, row by row
      else this.pixel = (top / scaled) * most;
      this.pixel = Math.max(0, Math.min(this.pixel, most));
      this.draw();
      clearTimeout(this.settling);
      if (this.height > MOST_PIXELS) this.settling = setTimeout(() => this.scrollTo(this.pixel), 150);
    }

    draw() {
      if (this.printing) return;
      const hadFocus = this.body.contains(document.activeElement);
      const first = Math.floor(this.pixel / ROW);
      const number = Math.min(this.shown.length - first, Math.ceil(this.viewport / ROW) + 1, MOST_DRAWN);
      const above = Math.max(0, (this.top ?? 0) - (this.pixel % ROW));
      const below = Math.max(0, this.scaledHeight - above - number * ROW);
      const rows = [];
      for (let position = first; position < first + number; position++) rows.push(this.drawRow(position));
      this.body.replaceChildren(this.space(above), ...rows, this.space(below));
      if (hadFocus && !this.focus()) this.scroller.focus({ preventScroll: true });
    }

    space(pixels) {
      const row = element("tr", { "aria-hidden": "true", class: "space" });
      row.style.height = `${pixels}px`;
      return row;
    }

    drawRow(position) {
      const row = this.shown[position];
      const made = element("tr", { "aria-rowindex": position + 2, "data-position": position });
      this.columns.forEach((column) => made.append(this.drawCell(column, row, position)));
      return made;
    }

    drawCell(column, row, position) {
      const text = clean(column.data.text(row));
      if (column.key === "job_id") {
        const button = element("button", { type: "button", class: "open", dir: "auto", "data-position": position,
          tabindex: position === this.active ? 0 : -1 }, text || "(no id)");
        return element("th", { scope: "row" }, button);
      }
      if (column.key === "state") return element("td", {}, element("span", { class: `state ${text}` }, text));
      if (column.kind === "number") return element("td", { class: "number" }, text);
      const cell = element("td", {}, element("bdi", {}, text));
      if (text.length > 20) cell.title = text;
      return cell;
    }

    /** Return the value of a cell as it is shown when its row is opened. */
    valueOf(column, row) {
      const text = column.data.text(row);
      return column.key === "state" ? element("span", { class: `state ${text}` }, text) : text;
    }

    label(key, value) { return this.facts.labels[key]?.find(([name]) => name === value)?.[1] ?? value; }

    /* -- the keyboard -- */

    focus() {
      const button = this.body.querySelector(`button[data-position="${this.active}"]`);
      button?.focus({ preventScroll: true });
      return button;
    }

    move(position) {
      if (!this.shown.length) return;
      this.active = Math.max(0, Math.min(position, this.shown.length - 1));
      const top = this.active * ROW;
      if (top < this.pixel) this.goTo(top);
      else if (top + ROW > this.pixel + this.viewport) this.goTo(top + ROW - this.viewport);
      else this.draw();
      this.focus();
    }

    key(event) {
      const page = Math.max(1, Math.floor(this.viewport / ROW) - 1);
      const inBody = this.body.contains(event.target);
      const moves = { ArrowDown: inBody ? 1 : 0, ArrowUp: -1, PageDown: page, PageUp: -page,
        Home: -Infinity, End: Infinity };
      if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
      if (!inBody && event.target !== this.scroller) return;
      event.preventDefault();
      this.move(this.active + moves[event.key]);
    }

    listen() {
      this.scroller.addEventListener("scroll", () => requestAnimationFrame(() => this.scrolled()));
      this.scroller.addEventListener("keydown", (event) => this.key(event));
      this.body.addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-position]");
        if (row && !String(getSelection())) this.open(Number(row.dataset.position));
      });
      this.headings.forEach((heading, place) => {
        heading.querySelector("button").addEventListener("click", () => this.sort(place));
      });
      document.addEventListener("click", (event) => {
        const link = event.target.closest("a[data-group]");
        if (link) this.showGroup(link.dataset.group);
      });
      new ResizeObserver(() => this.draw()).observe(this.scroller);
      addEventListener("beforeprint", () => this.print());
      addEventListener("afterprint", () => {
        this.printing = false;
        this.goTo(this.pixel);
      });
      this.job = new JobDialog(this);
    }

    showGroup(fingerprint) {
      byId("jobs-form").reset();
      byId("jobs-group").value = this.byKey.get("group").data.values.indexOf(fingerprint);
      this.filter();
    }

    open(position) {
      this.active = position;
      this.job.open(position);
    }

    /** Put the first rows into the document, for paper. */
    print() {
      this.printing = true;
      const number = Math.min(PRINTED_ROWS, this.shown.length);
      const rows = Array.from({ length: number }, (_, position) => this.drawRow(position));
      this.body.replaceChildren(...rows);
      byId("jobs-printed").textContent = number < this.shown.length ? `Printed: the first ${plural(number, "job")}.` : "";
    }
  }

  /* ---- one job ---- */

  class JobDialog {
    constructor(table) {
      this.table = table;
      this.dialog = byId("job");
      this.details = new Map(); // by block
      byId("job-close").addEventListener("click", () => this.dialog.close());
      byId("job-previous").addEventListener("click", () => this.open(this.position - 1));
      byId("job-next").addEventListener("click", () => this.open(this.position + 1));
      this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
      this.dialog.addEventListener("close", () => table.move(this.position));
    }

    async open(position) {
      const { table } = this;
      this.position = position;
      const row = table.shown[position];
      byId("job-title").textContent = clean(table.byKey.get("job_id").data.text(row));
      byId("job-previous").disabled = position === 0;
      byId("job-next").disabled = position === table.shown.length - 1;
      const value = (column) => [column.name, table.valueOf(column, row)];
      const ours = table.columns.filter((column) => column.key && column.key !== "job_id").map(value);
      const own = table.columns.filter((column) => !column.key).map(value);
      const content = byId("job-content");
      content.replaceChildren(list(ours));
      if (!this.dialog.open) this.dialog.showModal();
      this.dialog.scrollTop = 0;
      const detail = await this.detail(row);
      if (this.position !== position) return;
      if (detail) content.append(...sections(detail, own));
      else {
        content.append(element("h3", {}, "Columns of the file"), list(own), byId("job-elsewhere").content.cloneNode(true));
        fillCommand(content, byId("job-title").textContent);
      }
    }

    async detail(row) {
      const block = this.table.facts.details.findIndex(([rows]) => rows.includes(row));
      if (block < 0) return null;
      if (!this.details.has(block)) {
        const bytes = await unpack(`details-${block}`, this.table.facts.details[block][1]);
        this.details.set(block, JSON.parse(decoder.decode(bytes)));
      }
      return this.details.get(block)[this.table.facts.details[block][0].indexOf(row)];
    }
  }

  function list(pairs) {
    const made = element("dl", { class: "facts" });
    for (const [name, value] of pairs) {
      if (value === "") continue;
      const text = typeof value === "string" ? clean(value) : value;
      const long = text.length > 28;
      made.append(element("div", long ? { class: "long" } : {}, element("dt", {}, element("bdi", {}, clean(name))),
        element("dd", { dir: "auto", ...(text.length > 1000 && { tabindex: 0 }) }, text)));
    }
    return made;
  }

  function sections(detail, own) {
    const made = [];
    const add = (title, ...children) => made.push(element("h3", {}, title), ...children);
    if (detail.reason) add("Reason", element("p", { class: "reason", dir: "auto", tabindex: 0 }, clean(detail.reason)));
    if (detail.output) add(detail.stale ? "Output, to other inputs than the file has now" : "Output", markdown(detail.output));
    if (detail.tasks.length) {
      add("Tasks", ...detail.tasks.map(([name, agent, time, output]) => {
        const heading = [name, agent, time].filter(Boolean).map(clean).join(" · ");
        return element("details", {}, element("summary", {}, element("bdi", {}, heading)), markdown(output));
      }));
    }
    add("Inputs", list(detail.inputs));
    const sent = new Set(detail.inputs.map((pair) => JSON.stringify(pair)));
    const others = own.filter((pair) => pair[1] !== "" && !sent.has(JSON.stringify(pair)));
    if (others.length) add("Other columns of the file", list(others));
    if (detail.attempts.length) {
      add("Attempts", ...detail.attempts.map((pairs) => element("div", { class: "attempt" }, list(pairs))));
    }
    add("Source", element("p", { dir: "auto" }, clean(detail.source)));
    return made;
  }

  function markdown(html) {
    const made = element("div", { class: "markdown", dir: "auto" });
    made.innerHTML = html; // cleaned by nh3 when this file was made
    return made;
  }

  function fillCommand(content, job) {
    const code = content.querySelector("code");
    if (code) code.textContent = code.textContent.replace("JOB", () => `'${job.replaceAll("'", "'\\''")}'`);
  }

  /* ---- start ---- */

  async function start() {
    const facts = JSON.parse(byId("jobs-facts").textContent);
    epoch = facts.epoch;
    const columns = [];
    for (const [place, column] of facts.columns.entries()) {
      const bytes = await unpack(`column-${place}`, column.raw);
      columns.push({ ...column, data: new KINDS[column.kind](column, bytes, facts.rows) });
    }
    byId("jobs-live").hidden = false;
    byId("jobs-loading").remove();
    const table = new Table(facts, columns);
    performance.mark("jobs-drawn");
    return table;
  }

  if (byId("jobs-facts")) {
    start().catch((error) => {
      byId("jobs-loading").textContent = `The table of jobs cannot be shown: ${error.message}. Open this file in a current browser.`;
      throw error;
    });
  }
})();
