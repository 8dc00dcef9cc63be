// The page's half of the demo: choose an image, watch it being enlarged, compare, save. The networks run in worker.js; nothing is sent anywhere.

const LEAST = 8;              // pixels a side
const MOST = 1_000_000;       // pixels that are enlarged at once: the result, 16 times as many, is about the largest canvas every browser allows
const WHOLE_AT_ONCE = 192 * 192; // up to here the whole image is enlarged without asking

const HTML = `
<div class="drop">
  <div class="line"><label for="sr-file">Your image:</label> <input type="file" id="sr-file" accept="image/*">
  <button type="button" class="example">Use an example</button></div>
  <div>Or drop a file here. It stays on your machine: the network runs in this page.</div>
</div>
<div class="choose" hidden>
  <div class="line">
    <canvas class="preview" role="img" aria-label="your image, with the part to enlarge framed"></canvas>
    <div>
      <label for="sr-part">Enlarge</label>
      <select id="sr-part"><option value="128">a part, 128 × 128</option><option value="256">a part, 256 × 256</option><option value="0">the whole image</option></select>
      <div class="where">
        <div class="line"><label for="sr-x">left–right</label> <input type="range" id="sr-x" min="0" max="100" value="50"></div>
        <div class="line"><label for="sr-y">up–down</label> <input type="range" id="sr-y" min="0" max="100" value="50"></div>
      </div>
      <div class="line"><button type="button" class="go">Enlarge</button> <button type="button" class="stop" disabled>Stop</button></div>
    </div>
  </div>
</div>
<p class="status" role="status" aria-live="polite"></p>
<progress hidden max="1" value="0" aria-label="progress of the enlargement"></progress>
<div class="result" hidden>
  <div class="line">
    <fieldset><legend class="visually-hidden">View</legend>
      <label><input type="radio" name="sr-view" value="wipe" checked> wipe</label>
      <label><input type="radio" name="sr-view" value="two"> side by side</label>
    </fieldset>
    <span class="wiping"><label for="sr-wipe"><span class="left-name"></span> | <span class="right-name"></span></label> <input type="range" id="sr-wipe" min="0" max="100" value="50"></span>
    <a class="button save" href="#" download hidden>Save the enlarged image</a>
  </div>
  <div class="line">
    <span><label for="sr-left">Left</label> <select id="sr-left"></select></span>
    <span><label for="sr-right">Right</label> <select id="sr-right"></select></span>
  </div>
  <div class="stage">
    <figure class="left"><canvas role="img"></canvas><figcaption class="left-name"></figcaption></figure>
    <figure class="right"><canvas role="img"></canvas><figcaption class="right-name"></figcaption></figure>
  </div>
  <p class="misses" hidden></p>
</div>`;

const SIDES = ["left", "right"];

export function start(root) {
  root.innerHTML = HTML;
  const $ = (s) => root.querySelector(s);
  const base = new URL(root.dataset.models || "../_demo/", document.baseURI).href;
  const state = { image: null, name: "image", worker: null, card: null, job: 0, url: null, part: null, made: new Map() }; // made: by name, of this part

  const say = (text, bad = false) => {
    $(".status").textContent = text;
    $(".status").classList.toggle("bad", bad);
  };

  // ---- choosing ----------------------------------------------------------------------------------------------------------------------------------------
  async function open(blob, name) {
    stop();
    let image;
    try {
      image = await createImageBitmap(blob, { imageOrientation: "from-image" });
    } catch {
      say(`${name} is not an image that this browser can open. PNG, JPEG and WebP files always work.`, true);
      return;
    }
    if (Math.min(image.width, image.height) < LEAST) {
      say(`${name} has ${image.width} × ${image.height} pixels; the network needs at least ${LEAST} on each side.`, true);
      return;
    }
    state.image?.close();
    Object.assign(state, { image, name });
    $("#sr-part").value = image.width * image.height <= WHOLE_AT_ONCE ? "0" : "128";
    $("#sr-x").value = $("#sr-y").value = 50;
    $(".choose").hidden = false;
    preview();
    enlarge();
  }

  function part() { // the rectangle of the image that is to be enlarged
    const { width: w, height: h } = state.image, side = Number($("#sr-part").value);
    if (!side) return { x: 0, y: 0, width: w, height: h };
    const width = Math.min(side, w), height = Math.min(side, h);
    return { x: Math.round(($("#sr-x").value / 100) * (w - width)), y: Math.round(($("#sr-y").value / 100) * (h - height)), width, height };
  }

  function preview() {
    const { image } = state, c = $(".preview"), k = Math.min(1, 512 / Math.max(image.width, image.height)), p = part();
    c.width = Math.max(1, Math.round(image.width * k));
    c.height = Math.max(1, Math.round(image.height * k));
    const g = c.getContext("2d");
    g.drawImage(image, 0, 0, c.width, c.height);
    for (const [color, width] of [["#000", 5], ["#f0e442", 3]]) {
      g.strokeStyle = color;
      g.lineWidth = width;
      g.strokeRect(p.x * k + 2, p.y * k + 2, p.width * k - 4, p.height * k - 4);
    }
    $(".where").hidden = $("#sr-part").value === "0";
  }

  // ---- enlarging ---------------------------------------------------------------------------------------------------------------------------------------
  function ready() { // the worker, loaded once
    state.worker ??= new Promise((resolve, reject) => {
      const w = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
      const fail = (text) => {
        w.terminate();
        reject(new Error(text));
      };
      w.onerror = (e) => fail(e.message || "worker.js cannot be loaded");
      w.onmessage = ({ data }) => {
        if (data.kind !== "ready") return fail(data.text);
        if (!state.card) offer(data.card);
        state.card = data.card;
        resolve(w);
      };
      w.postMessage({ kind: "load", base });
    });
    return state.worker;
  }

  function stop() { // a worker cannot be interrupted, only ended; the next run starts a new one
    state.job += 1;
    if (!$(".stop").disabled) {
      state.worker?.then((w) => w.terminate(), () => {});
      state.worker = null;
      busy(false);
      say("Stopped.");
    }
  }

  function busy(on) {
    $(".stop").disabled = !on;
    $(".go").disabled = on;
    $("progress").hidden = !on;
    root.setAttribute("aria-busy", on);
  }

  function offer({ networks }) { // fill the two lists; the page's element may name what stands there at first
    for (const [i, side] of SIDES.entries()) {
      $(`#sr-${side}`).replaceChildren(...networks.map((n) => new Option(n.label, n.name)));
      const wanted = root.dataset[side];
      $(`#sr-${side}`).value = networks.some((n) => n.name === wanted) ? wanted : networks[Math.min(i, networks.length - 1)].name;
    }
  }

  const chosen = (side) => state.card.networks.find((n) => n.name === $(`#sr-${side}`).value);

  async function enlarge({ anew = true } = {}) { // anew: of the part that is framed now; otherwise only what is not made yet of the last one
    stop();
    const job = state.job, p = anew || !state.part ? part() : state.part;
    if (p.width * p.height > MOST) {
      state.part = null;
      say(`${p.width} × ${p.height} pixels are too many to enlarge at once (${(MOST / 1e6).toFixed(0)} megapixel at most). Choose a part of the image.`, true);
      return;
    }
    if (anew) {
      state.part = p;
      state.made.clear();
    }
    busy(true);
    $("progress").removeAttribute("value");
    $(".save").hidden = $(".misses").hidden = true;
    let worker;
    try {
      say(state.card ? "Starting …" : "Loading the networks (4 MB, once) …");
      worker = await ready();
    } catch (e) {
      state.worker = null;
      busy(false);
      say(`The network is not there: ${e.message}. The site was built without it, or the connection was lost.`, true);
      return;
    }
    if (job !== state.job) return;
    const { scale } = state.card, made = new Map();
    for (const side of SIDES) {
      const canvas = $(`.${side} canvas`), { name, label } = chosen(side);
      canvas.width = p.width * scale;
      canvas.height = p.height * scale;
      canvas.setAttribute("aria-label", `${state.name}, enlarged ${scale} times by ${name === "bicubic" ? "bicubic interpolation" : label}`);
      for (const e of root.querySelectorAll(`.${side}-name`)) e.textContent = label;
      const old = state.made.get(name);
      if (old) canvas.getContext("2d").drawImage(old.canvas, 0, 0);
      else if (!made.has(name)) made.set(name, { canvas: new OffscreenCanvas(canvas.width, canvas.height) });
    }
    $(".result").hidden = false;
    if (!made.size) return finish(p, null);
    let told = 0;
    worker.onmessage = ({ data }) => {
      if (job !== state.job) return;
      if (data.kind === "tile") {
        for (const [name, pixels] of Object.entries(data.pixels)) {
          const image = new ImageData(pixels, data.width, data.height);
          made.get(name).canvas.getContext("2d").putImageData(image, data.x, data.y);
          for (const side of SIDES) if (chosen(side).name === name) $(`.${side} canvas`).getContext("2d").putImageData(image, data.x, data.y);
        }
        $("progress").value = data.done / data.total;
        if (data.done / data.total >= told + 0.1) { // a screen reader need not hear of every tile
          told = data.done / data.total;
          say(`Enlarging: ${Math.round(100 * told)} %`);
        }
      } else if (data.kind === "error") {
        busy(false);
        say(/is missing|cannot be loaded/.test(data.text) ? `The network is not there: ${data.text}. The site was built without it, or the connection was lost.` : `It failed: ${data.text}`, true);
      } else {
        for (const [name, m] of made) state.made.set(name, { ...m, miss: data.misses[name] });
        finish(p, data.seconds);
      }
    };
    const c = new OffscreenCanvas(p.width, p.height), g = c.getContext("2d", { willReadFrequently: true });
    g.fillStyle = "#fff"; // see-through parts become white
    g.fillRect(0, 0, p.width, p.height);
    g.drawImage(state.image, p.x, p.y, p.width, p.height, 0, 0, p.width, p.height);
    const pixels = g.getImageData(0, 0, p.width, p.height).data;
    worker.postMessage({ kind: "run", names: [...made.keys()], pixels, width: p.width, height: p.height }, [pixels.buffer]);
  }

  function finish(p, seconds) { // both sides are painted: say what was done, and offer the right one to be saved
    busy(false);
    const { scale } = state.card, [left, right] = SIDES.map(chosen), job = state.job;
    const raw = [left, right].filter((n) => !n.trained).map((n) => n.label);
    const note = raw.length ? ` The weights of ${[...new Set(raw)].join(" and ")} are untrained: the picture shows only that the demo works.` : "";
    const by = right.parameters ? `${right.label} with ${right.parameters.toLocaleString("en")} parameters` : right.label;
    say(`${p.width} × ${p.height} pixels became ${p.width * scale} × ${p.height * scale}${seconds === null ? "" : ` in ${seconds.toFixed(1)} s`}, by ${by}.${note}`);
    const grey = (v) => (v >= 0.095 ? v.toFixed(1) : v.toPrecision(1));
    const told = (k) => [...new Set([left, right])].map((n) => `${n.label} by up to ${grey(state.made.get(n.name).miss[k])}`).join(", ");
    $(".misses").textContent = `Shrunk again, they miss your pixels, in grey levels of 255: ${told("exact")}. Clipped and rounded to 8 bits, as shown and saved: ${told("shown")}.`;
    $(".misses").hidden = false;
    $(".right canvas").toBlob((blob) => {
      if (job !== state.job) return;
      URL.revokeObjectURL(state.url);
      state.url = URL.createObjectURL(blob);
      Object.assign($(".save"), { href: state.url, download: `${state.name.replace(/\.[^.]*$/, "")}-${right.name}.png`, hidden: false });
      root.dataset.done = String(Number(root.dataset.done || 0) + 1);
    });
  }

  // ---- controls ----------------------------------------------------------------------------------------------------------------------------------------
  $("#sr-file").addEventListener("change", (e) => e.target.files[0] && open(e.target.files[0], e.target.files[0].name));
  $(".example").addEventListener("click", async () => {
    const answer = await fetch(new URL("example.png", base)).catch(() => null);
    if (answer?.ok) open(await answer.blob(), "example.png");
    else say("The example is missing: the site was built without it.", true);
  });
  const drop = $(".drop");
  for (const kind of ["dragenter", "dragover"]) drop.addEventListener(kind, (e) => { e.preventDefault(); drop.classList.add("over"); });
  for (const kind of ["dragleave", "drop"]) drop.addEventListener(kind, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (e) => {
    e.preventDefault();
    const file = e.dataTransfer.files[0];
    if (file) open(file, file.name);
  });
  for (const s of ["#sr-part", "#sr-x", "#sr-y"]) $(s).addEventListener("input", preview);
  $(".preview").addEventListener("click", (e) => {
    const r = e.target.getBoundingClientRect(), p = part(), { width, height } = state.image;
    const at = (share, whole, side) => (whole > side ? (100 * (share * whole - side / 2)) / (whole - side) : 50);
    $("#sr-x").value = at((e.clientX - r.left) / r.width, width, p.width);
    $("#sr-y").value = at((e.clientY - r.top) / r.height, height, p.height);
    preview();
    enlarge();
  });
  for (const side of SIDES) $(`#sr-${side}`).addEventListener("change", () => enlarge({ anew: false }));
  $(".go").addEventListener("click", () => enlarge());
  $(".stop").addEventListener("click", stop);
  $("#sr-wipe").addEventListener("input", (e) => $(".stage").style.setProperty("--wipe", `${e.target.value}%`));
  for (const e of root.querySelectorAll("[name=sr-view]")) {
    e.addEventListener("change", () => {
      const two = $("[value=two]").checked;
      $(".stage").classList.toggle("two", two);
      $(".wiping").hidden = two;
    });
  }
  say("Choose an image, or use the example.");
}
