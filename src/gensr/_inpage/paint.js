function gensrView(figure) {
  const { layers, halves, starts, names, order, light, pictures } = JSON.parse(figure.dataset.net);
  const run = gensrNet(layers, halves), canvas = gensrStart(figure), grid = figure.querySelector(".gensr-grid"), palette = figure.querySelector(".gensr-words");
  const output = figure.querySelector("output"), [reset, next, random, pick] = figure.querySelectorAll(".gensr-buttons button");
  const h = starts[0].length, w = starts[0][0].length;
  let example = 0, codes = starts[0].flat(), word = order[order.length >> 1], lastCell = 0, note = "";
  figure.decode = (rows) => run({ x: rows.flat(), shape: [rows.length, rows[0].length] });

  function picture(k) { // of a word: the one that came along, or else a grid full of it
    return pictures ? { x: pictures.x[k].map((v) => v / 255), shape: pictures.shape } : run({ x: Array(h * w).fill(k), shape: [h, w] });
  }
  function button(role, parent, label) {
    const b = parent.appendChild(document.createElement("button"));
    b.type = "button";
    b.setAttribute("role", role);
    b.setAttribute("aria-label", label);
    b.tabIndex = -1;
    return b;
  }
  const cells = [];
  grid.style.gridTemplateColumns = `repeat(${w}, 1fr)`;
  for (let r = 0; r < h; r++) {
    const row = grid.appendChild(document.createElement("div"));
    row.setAttribute("role", "row");
    row.style.display = "contents";
    for (let c = 0; c < w; c++) cells.push(button("gridcell", row, ""));
  }
  palette.classList.toggle("gensr-few", order.length <= 32);
  const words = order.map((k) => {
    const b = button("radio", palette, `word ${k}, brightness ${Math.round(100 * light[k])} %`);
    b.title = `word ${k}`;
    b.appendChild(document.createElement("canvas"));
    return b;
  });

  function show() {
    gensrDraw(canvas, run({ x: codes, shape: [h, w] }));
    const start = starts[example].flat();
    cells.forEach((b, i) => {
      const k = codes[i], r = Math.floor(i / w) + 1, c = (i % w) + 1, grey = Math.round(255 * light[k]);
      b.textContent = w > 10 ? "" : k;
      b.style.background = `rgb(${grey},${grey},${grey})`;
      b.style.color = light[k] > 0.46 ? "#000" : "#fff"; // the side on which the contrast is at least 4.5
      b.classList.toggle("gensr-changed", k !== start[i]);
      b.setAttribute("aria-label", `row ${r}, column ${c}: word ${k}${k !== start[i] ? ", changed" : ""}`);
      b.tabIndex = i === lastCell ? 0 : -1;
    });
    words.forEach((b, i) => {
      b.setAttribute("aria-checked", order[i] === word);
      b.tabIndex = order[i] === word ? 0 : -1;
    });
    const changed = codes.filter((k, i) => k !== start[i]).length;
    output.value = `${names[example]}; ${changed} of ${h * w} codes changed; brush: word ${word}${note}`;
  }
  function choose(k) {
    word = k;
    const b = words[order.indexOf(k)], top = b.offsetTop - palette.offsetTop;
    if (top < palette.scrollTop || top + b.offsetHeight > palette.scrollTop + palette.clientHeight) palette.scrollTop = top - palette.clientHeight / 2;
    show();
  }
  function touch(i) { // paint the place, or take its word when asked to
    lastCell = i;
    if (pick.getAttribute("aria-pressed") === "true") {
      pick.setAttribute("aria-pressed", "false");
      return choose(codes[i]);
    }
    if (codes[i] === word) return show();
    codes[i] = word;
    show();
  }
  for (const surface of [grid, canvas]) {
    let last = -1;
    const stroke = (event) => {
      const box = surface.getBoundingClientRect();
      const c = Math.floor(((event.clientX - box.left) / box.width) * w), r = Math.floor(((event.clientY - box.top) / box.height) * h);
      if (c < 0 || r < 0 || c >= w || r >= h || r * w + c === last) return;
      touch((last = r * w + c));
    };
    surface.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      surface.setPointerCapture(event.pointerId);
      const picking = pick.getAttribute("aria-pressed") === "true";
      last = -1;
      stroke(event);
      if (picking) surface.releasePointerCapture(event.pointerId);
    });
    surface.addEventListener("click", () => {}); // a finger near the edge is then not taken for one on a button beside it
    surface.addEventListener("pointermove", (event) => surface.hasPointerCapture(event.pointerId) && stroke(event));
  }
  const roam = (event, list, from, columns) => { // where an arrow leads in a grid of so many columns
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, ArrowUp: from - columns, ArrowDown: from + columns, Home: 0, End: list.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return -1;
    event.preventDefault();
    return to < 0 || to >= list.length ? from : to;
  };
  grid.addEventListener("keydown", (event) => {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    let to = roam(event, cells, lastCell, w);
    if (to < 0) return;
    if (sideways && Math.floor(to / w) !== Math.floor(lastCell / w)) to = lastCell;
    cells[lastCell].tabIndex = -1;
    cells[(lastCell = to)].tabIndex = 0;
    cells[to].focus();
  });
  cells.forEach((b, i) => b.addEventListener("click", (event) => event.detail === 0 && touch(i))); // by keyboard or a screen reader; a pointer has painted already
  palette.addEventListener("keydown", (event) => {
    const columns = words.filter((b) => b.offsetTop === words[0].offsetTop).length, to = roam(event, words, order.indexOf(word), columns);
    if (to < 0) return;
    choose(order[to]);
    words[to].focus({ preventScroll: true });
  });
  words.forEach((b, i) => b.addEventListener("click", () => choose(order[i])));
  const begin = (n) => { example = n; codes = starts[n].flat(); show(); };
  reset.addEventListener("click", () => begin(example));
  next.addEventListener("click", () => begin((example + 1) % starts.length));
  random.addEventListener("click", () => choose(order[Math.floor(Math.random() * order.length)]));
  pick.addEventListener("click", () => pick.setAttribute("aria-pressed", pick.getAttribute("aria-pressed") !== "true"));
  show();
  let done = 0; // the words' own pictures, a few at a time, so that the page stays awake
  (function draw() {
    const stop = performance.now() + 15;
    for (; done < order.length && performance.now() < stop; done++) gensrDraw(words[done].firstChild, picture(order[done]));
    if (done < order.length) setTimeout(draw, 5);
    else palette.dataset.done = "";
  })();
}
