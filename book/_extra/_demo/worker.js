// Runs the networks beside the page, so that the page never freezes. Messages in:
//   {kind: "load", base}                                 base: the folder of card.json and the models
//   {kind: "run", names, pixels, width, height}          names of networks on the card; pixels: RGBA, one byte a value
// Messages out:
//   {kind: "ready", card}                                the card, read from card.json
//   {kind: "tile", x, y, width, height, pixels, done, total}   pixels: for each name, RGBA of one enlarged tile
//   {kind: "done", seconds, misses}                      misses: for each name, the largest |A x − y| in grey levels, of the floats and of the 8 bits shown
//   {kind: "error", text}
// One thread: more would need headers that static hosts do not send.

const CORE = 96; // pixels of the input enlarged at a time
// Pixels read around them, so that tiles join without a seam. EDSR's 8 blocks see 19 to each side; AffGAN's 6 see 15, A 2 more and A⁺ 9 more. To measure
// |A x − y| at the rim of the core, A needs x 2 pixels further out.
const HALO = 28;

let base, ort, card, measure;
const sessions = new Map();

async function get(file) {
  const answer = await fetch(file.url, file.integrity ? { integrity: file.integrity } : {}).catch((e) => { throw new Error(`${file.url} cannot be loaded (${e.message})`); });
  if (!answer.ok) throw new Error(`${file.url} is missing (${answer.status})`);
  return answer.arrayBuffer();
}

async function load() {
  const text = (url) => get({ url }).then((b) => JSON.parse(new TextDecoder().decode(b)));
  const [found, assets] = await Promise.all([text(new URL("card.json", base)), text(new URL("assets.json", import.meta.url))]);
  const at = (file) => ({ ...file, url: new URL(file.url, import.meta.url) });
  const [script, wasm, A] = await Promise.all([get(at(assets.script)), get(at(assets.wasm)), get({ url: new URL(found.measure, base) })]);
  // The script was fetched rather than imported, so that the browser checks its hash where it comes from another host.
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = "error";
  measure = await ort.InferenceSession.create(A);
  card = found;
  return card;
}

async function network(name) { // fetched when it is first asked for
  if (!sessions.has(name)) {
    const { file } = card.networks.find((n) => n.name === name);
    sessions.set(name, await ort.InferenceSession.create(await get({ url: new URL(file, base) })));
  }
  return sessions.get(name);
}

async function run({ names, pixels, width, height }) {
  const nets = [];
  for (const name of names) nets.push([name, await network(name)]);
  const started = performance.now(), { scale } = card;
  const columns = Math.ceil(width / CORE), rows = Math.ceil(height / CORE);
  const misses = Object.fromEntries(names.map((name) => [name, { exact: 0, shown: 0 }]));
  let done = 0;
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < columns; i++) {
      const core = box(i * CORE, j * CORE, CORE, 0, width, height), read = box(i * CORE, j * CORE, CORE, HALO, width, height);
      const y = toTensor(pixels, width, read), tile = {};
      for (const [name, net] of nets) {
        const { x } = await net.run({ y });
        misses[name].exact = Math.max(misses[name].exact, await miss(x, y, core, read));
        for (let k = 0; k < x.data.length; k++) x.data[k] = Math.round(255 * Math.min(1, Math.max(0, x.data[k]))) / 255; // as it will be shown
        misses[name].shown = Math.max(misses[name].shown, await miss(x, y, core, read));
        tile[name] = toPixels(x.data, read.width * scale, read.height * scale, (core.x - read.x) * scale, (core.y - read.y) * scale, core.width * scale, core.height * scale);
      }
      done += 1;
      postMessage(
        { kind: "tile", x: core.x * scale, y: core.y * scale, width: core.width * scale, height: core.height * scale, pixels: tile, done, total: rows * columns },
        Object.values(tile).map((t) => t.buffer),
      );
    }
  }
  return { seconds: (performance.now() - started) / 1000, misses };
}

async function miss(x, y, core, read) { // the largest |A x − y| over the core, in grey levels
  const again = (await measure.run({ x })).y.data, n = read.width * read.height;
  let worst = 0;
  for (let c = 0; c < 3; c++) {
    for (let v = core.y - read.y; v < core.y - read.y + core.height; v++) {
      for (let u = core.x - read.x, k = c * n + v * read.width + u; u < core.x - read.x + core.width; u++, k++) worst = Math.max(worst, Math.abs(again[k] - y.data[k]));
    }
  }
  return 255 * worst;
}

function box(x, y, side, halo, width, height) {
  const x0 = Math.max(0, x - halo), y0 = Math.max(0, y - halo);
  return { x: x0, y: y0, width: Math.min(width, x + side + halo) - x0, height: Math.min(height, y + side + halo) - y0 };
}

function toTensor(pixels, stride, b) {
  const n = b.width * b.height, data = new Float32Array(3 * n); // (1, 3, h, w) in [0, 1]
  for (let v = 0, k = 0; v < b.height; v++) {
    for (let u = 0, p = 4 * ((b.y + v) * stride + b.x); u < b.width; u++, k++, p += 4) {
      data[k] = pixels[p] / 255;
      data[n + k] = pixels[p + 1] / 255;
      data[2 * n + k] = pixels[p + 2] / 255;
    }
  }
  return new ort.Tensor("float32", data, [1, 3, b.height, b.width]);
}

function toPixels(x, width, height, left, top, w, h) {
  const n = width * height, out = new Uint8ClampedArray(4 * w * h); // clamps to 0..255 and rounds
  for (let v = 0, q = 0; v < h; v++) {
    for (let u = 0, k = (top + v) * width + left; u < w; u++, k++, q += 4) {
      out[q] = 255 * x[k];
      out[q + 1] = 255 * x[n + k];
      out[q + 2] = 255 * x[2 * n + k];
      out[q + 3] = 255;
    }
  }
  return out;
}

onmessage = async ({ data }) => {
  try {
    if (data.kind === "load") {
      base = data.base;
      postMessage({ kind: "ready", card: await load() });
    } else postMessage({ kind: "done", ...(await run(data)) });
  } catch (e) {
    postMessage({ kind: "error", text: e.message });
  }
};
